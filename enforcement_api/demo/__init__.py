"""The demo: a realistic site built through the doors that everybody uses, then a patrol.

`city` invents the data, `pictures` draws the cars, `processes` starts and ends the service and the
handheld, `show` tells the story. Nothing here reaches into the record: keys come from the command
line, the site from the API, permits from a subscription system's file.
"""

from enforcement_api.demo.show import run

__all__ = ["run"]

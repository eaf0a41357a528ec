"""The supervisors' console: pages under /console, for the staff, in a browser.

A page is made on the server and works without script; script adds keys, and parts that renew
themselves. `web` is what every page needs: who is signed in, forms that nobody forges, pages and
errors. `showing` puts facts into words, dates and numbers of a language. Each `…_pages` file has
the pages of one subject, and `routes` puts them together. What the pages do is done by the domains
below: a page decides nothing and selects nothing by itself.
"""

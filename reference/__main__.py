"""`python -m reference`: write the pages that are made from the code anew."""

from reference.pages import DOCS, PAGES

for name, page in PAGES.items():
    (DOCS / name).write_text(page(), encoding="utf-8")

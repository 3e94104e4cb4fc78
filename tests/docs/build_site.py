#!/usr/bin/env python3
"""Builds the HTML site with mkdocs: README.md as its first page, what stands beside it and docs/ below it.

mkdocs wants all pages in one folder. They are copied into a temporary one, with their links rewritten; a source file that a page
links to is copied along, so that the site is complete in itself.
"""

# ./dev docs [--check]
#   Checks that every link in README.md and docs/ leads somewhere and that no line is longer than 120 columns, and builds the HTML site
#   in build/site. Installs mkdocs when it is missing.
#   --check  only the checks; needs nothing but python3

import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import dev  # noqa: E402
from check_links import links, pages  # noqa: E402

CONFIGURATION = """\
site_name: trunkline
docs_dir: pages
use_directory_urls: false
theme:
  name: material
  font: false
markdown_extensions: [admonition, tables, fenced_code, codehilite, toc]
"""


def place_of(path):
    """Where a file of the repository stands in the site."""
    if path == "README.md":
        return "index.md"
    if os.sep not in path and path.endswith(".md"):
        return path
    if path.startswith("docs" + os.sep):
        return path[len("docs" + os.sep):]
    # With .txt, a browser shows a source file instead of saving it.
    return os.path.join("source", path + ".txt")


def copy_page(root, page, target):
    with open(os.path.join(root, page), encoding="utf-8") as file:
        text = file.read()
    edits, wanted = [], []
    for match, link in links(text):
        path, hash_mark, anchor = link.partition("#")
        if ":" in path or not path:
            continue
        linked = os.path.relpath(os.path.normpath(os.path.join(root, os.path.dirname(page), path)), root)
        group = 1 if match.group(1) else 2
        if os.path.isdir(os.path.join(root, linked)):
            if not os.path.exists(os.path.join(root, linked, "README.md")):
                continue  # a folder without a page: the link stays for those who read the repository
            linked = os.path.join(linked, "README.md")
        new = os.path.relpath(place_of(linked), os.path.dirname(place_of(page)) or ".")
        edits.append((match.start(group), match.end(group), new + hash_mark + anchor))
        if place_of(linked).startswith("source" + os.sep):
            wanted.append(linked)
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    destination = os.path.join(target, place_of(page))
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    with open(destination, "w", encoding="utf-8") as file:
        file.write(text)
    return wanted


def main():
    root, site = dev.ROOT, os.path.join(dev.BUILD_ROOT, "site")
    for check in ("check_links.py", "wrap_pages.py"):
        if subprocess.run([sys.executable, os.path.join(HERE, check), root]).returncode != 0:
            sys.exit(1)
    if sys.argv[1:2] == ["--check"]:
        return
    dev.dev("setup", "--docs")
    with tempfile.TemporaryDirectory() as work:
        target = os.path.join(work, "pages")
        os.makedirs(target)
        for page in pages(root):
            for source in copy_page(root, page, target):
                destination = os.path.join(target, place_of(source))
                os.makedirs(os.path.dirname(destination), exist_ok=True)
                shutil.copyfile(os.path.join(root, source), destination)
        with open(os.path.join(work, "mkdocs.yml"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION)
        subprocess.run(["mkdocs", "build", "--quiet", "--clean", "--site-dir", site], cwd=work, check=True)
    print(f"the site is in {site}; begin with {os.path.join(site, 'index.html')}")


if __name__ == "__main__":
    main()

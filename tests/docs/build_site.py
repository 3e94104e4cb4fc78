#!/usr/bin/env python3
"""Builds the HTML site with mkdocs: README.md as its first page, what stands beside it and docs/ below it.

mkdocs wants all pages in one folder. They are copied into a temporary one, with their links rewritten. A public header that a page
links to is its page of the reference, which is made here; any other source file becomes a page with coloured code, so that the site
is complete in itself. The order of the site is that of docs/README.md.
"""

# ./dev docs [--check]
#   Checks that every link in README.md and docs/ leads somewhere and that no line is longer than 120 columns, and builds the HTML site
#   in build/site, with a reference of the public headers. Installs mkdocs when it is missing. The site asks no other host for anything.
#   --check  only the checks; needs nothing but python3

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import dev  # noqa: E402
import reference  # noqa: E402
from check_links import links, pages  # noqa: E402
from export_headers import public  # noqa: E402

CONFIGURATION = """\
site_name: trunkline {version}
docs_dir: pages
use_directory_urls: false
theme:
  name: material
  font: false
  features: [navigation.tabs, navigation.sections, navigation.top, search.suggest, search.highlight]
  palette:
    - media: "(prefers-color-scheme: light)"
      scheme: default
      primary: indigo
      toggle: {{icon: material/weather-night, name: Dark}}
    - media: "(prefers-color-scheme: dark)"
      scheme: slate
      primary: indigo
      toggle: {{icon: material/weather-sunny, name: Light}}
extra_css: [site.css]
extra: {{generator: false}}
markdown_extensions:
  - admonition
  - attr_list
  - tables
  - toc: {{permalink: true}}
  - pymdownx.highlight: {{pygments_lang_class: true}}
  - pymdownx.superfences
nav: {nav}
"""

# Code has up to 120 columns: the page is wide enough for them on a desk, and on a phone lines are wrapped. Drawings are not.
STYLE = """\
.md-grid { max-width: 74rem; }
.md-typeset pre > code { font-size: .6rem; }
.md-typeset [class*=language-]:not(.language-text) pre > code { white-space: pre-wrap; overflow-wrap: anywhere; }
[data-md-color-scheme=slate] { --md-typeset-a-color: #8ab4f8; }
.md-typeset table:not([class]) { font-size: .7rem; }
.md-typeset h1 { overflow-wrap: anywhere; }
"""

LANGUAGES = {".hpp": "cpp", ".cpp": "cpp", ".py": "python", ".sh": "sh", ".ts": "ts", ".js": "js", ".json": "json", ".proto": "protobuf",
             ".md": "markdown", ".build": "meson", ".wrap": "ini", ".ini": "ini", ".html": "html", ".css": "css"}


def place_of(path):
    """Where a file of the repository stands in the site."""
    if path == "README.md":
        return "index.md"
    if path == os.path.join("docs", "README.md"):
        return "pages.md"  # for mkdocs both names would be the same
    if os.sep not in path and path.endswith(".md"):
        return path
    if path.startswith("docs" + os.sep):
        return path[len("docs" + os.sep):]
    if path in PUBLIC:
        return os.path.join("reference", re.sub(r"\.hpp$", ".md", path))
    return os.path.join("source", path + ".md")


PUBLIC = frozenset(public())


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
        if not os.path.exists(os.path.join(root, linked)):
            continue  # of a folder that was left out; check_links.py knows which may be
        if os.path.isdir(os.path.join(root, linked)):
            if not os.path.exists(os.path.join(root, linked, "README.md")):
                continue  # a folder without a page: the link stays for those who read the repository
            linked = os.path.join(linked, "README.md")
        new = os.path.relpath(place_of(linked), os.path.dirname(place_of(page)) or ".")
        edits.append((match.start(group), match.end(group), new + hash_mark + anchor))
        if place_of(linked).startswith("source" + os.sep) and os.path.isfile(os.path.join(root, linked)):
            wanted.append(linked)
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    write(target, place_of(page), text)
    return wanted


def write(target, place, text):
    destination = os.path.join(target, place)
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    with open(destination, "w", encoding="utf-8") as file:
        file.write(text)


def source_page(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    fence = "`" * max(4, 1 + max(map(len, re.findall("`+", text)), default=0))
    language = LANGUAGES.get(os.path.splitext(path)[1], "sh" if text.startswith("#!/usr/bin/env bash") else "text")
    return f"# {path}\n\n{fence}{language}\n{text}\n{fence}\n"


def title_of(root, page):
    with open(os.path.join(root, page), encoding="utf-8") as file:
        return re.search(r"^# (.+)$", file.read(), re.MULTILINE).group(1).replace("`", "")


def navigation(root, headers):
    """The sections of docs/README.md with their pages; below a README of a folder, the folder's other pages."""
    with open(os.path.join(root, "docs", "README.md"), encoding="utf-8") as file:
        index = file.read()
    nav = []
    for level, name, body in re.findall(r"^(##+) ([^\n]+)\n(.*?)(?=^##|\Z)", index, re.MULTILINE | re.DOTALL):
        entries = []
        for link in re.findall(r"^\| \[[^\]]*\]\(([^)]+)\)", body, re.MULTILINE):
            page = os.path.normpath(os.path.join("docs", link))
            entries.append({title_of(root, page): place_of(page)})
            if os.path.basename(page) == "README.md":
                folder = os.path.dirname(page)
                others = sorted(other for other in os.listdir(os.path.join(root, folder)) if other.endswith(".md") and other != "README.md")
                entries[-1] = {title_of(root, page): [place_of(page), *({title_of(root, os.path.join(folder, o)): place_of(os.path.join(folder, o))} for o in others)]}
        if level == "##":
            nav.append({name: entries})
        else:
            nav[-1][next(iter(nav[-1]))].append({name: entries})
    sections = {next(iter(section)): section for section in nav}
    sections["Start"]["Start"][:0] = [{"trunkline": "index.md"}, {"All pages": "pages.md"}]
    folders = {}
    for page, header in headers:
        folders.setdefault(os.path.dirname(header), []).append({os.path.basename(header): os.path.join("reference", page)})
    tree = [{"All headers": "reference/index.md"}, *({folder + "/": some} for folder, some in sorted(folders.items()))]
    sections["Reference"]["Reference"].insert(0, {"Headers": tree})
    return nav


def without_sources(site):
    """What is a page only because another one links to it would be found more often than what explains it."""
    path = os.path.join(site, "search", "search_index.json")
    with open(path, encoding="utf-8") as file:
        index = json.load(file)
    index["docs"] = [entry for entry in index["docs"] if not entry["location"].startswith("source/")]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(index, file, ensure_ascii=False, separators=(",", ":"))


def elsewhere(site):
    """What a page of the site would load from another host."""
    for directory, _, names in os.walk(site):
        for name in names:
            if name.endswith((".html", ".css")):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    text = file.read()
                for match in re.finditer(r"""<(?:script|img|iframe|source)[^>]+src="?(?:https?:)?//[^\s">]+|<link[^>]+rel="?(?:stylesheet|preload|preconnect|icon)[^>]+href="?(?:https?:)?//[^\s">]+|url\(["']?(?:https?:)?//[^)]+|@import[^;]+//[^;]+""", text):
                    yield f"{os.path.relpath(os.path.join(directory, name), site)}: {match.group(0)}"


def main():
    root, site = dev.ROOT, os.path.join(dev.BUILD_ROOT, "site")
    for check in ("check_links.py", "wrap_pages.py"):
        if subprocess.run([sys.executable, os.path.join(HERE, check), root]).returncode != 0:
            sys.exit(1)
    if sys.argv[1:2] == ["--check"]:
        return
    dev.dev("setup", "--docs")
    with open(os.path.join(root, "meson.build"), encoding="utf-8") as file:
        version = re.search(r"version: '([^']+)'", file.read()).group(1)
    with tempfile.TemporaryDirectory() as work:
        target = os.path.join(work, "pages")
        os.makedirs(target)
        sources = {source for page in pages(root) for source in copy_page(root, page, target)}
        for source in sources:
            if source.endswith((".svg", ".png")):
                raise SystemExit(f"a picture outside of docs/: {source}")
            write(target, place_of(source), source_page(root, source))
        for picture in (name for name in os.listdir(os.path.join(root, "docs")) if name.endswith((".svg", ".png"))):
            shutil.copyfile(os.path.join(root, "docs", picture), os.path.join(target, picture))
        headers = reference.write(os.path.join(target, "reference"), [page for page in pages(root) if page.startswith("docs/")])
        write(target, "site.css", STYLE)
        write(work, "mkdocs.yml", CONFIGURATION.format(version=version, nav=json.dumps(navigation(root, headers))))
        built = subprocess.run(["mkdocs", "build", "--strict", "--clean", "--site-dir", site], cwd=work, stderr=subprocess.PIPE, text=True)
        if built.returncode != 0:
            sys.exit("".join(line for line in built.stderr.splitlines(keepends=True) if "WARNING" in line or "ERROR" in line))
    without_sources(site)
    loaded = list(elsewhere(site))
    if loaded:
        sys.exit("the site asks other hosts:\n" + "\n".join(loaded))
    print(f"the site is in {site}; begin with {os.path.join(site, 'index.html')}")


if __name__ == "__main__":
    main()

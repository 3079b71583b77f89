"""After the clients' tests: whether they asked every route of Docs/openapi.json at least once with success, by the audit log."""

import json
import pathlib
import re
import sys

from server import hearth

paths = json.loads((pathlib.Path(__file__).parents[2] / "Docs/openapi.json").read_text())["paths"]
# Probes are open and, like metrics, not in the log.
wanted = {f"{method.upper()} {path}" for path, operations in paths.items() for method, operation in operations.items()
          if operation["x-scope"] not in ("none", "metrics")}
asked = set()
for line in hearth("audit", "show", "--last", "1000000").splitlines():
    found = re.fullmatch(r"\d+  \S+  .*  ([A-Z]+) (/\S+)  req-\w+  200(, given up)?", line)
    if found:
        asked.add(re.sub(r":(\w+)", r"{\1}", f"{found[1]} {found[2]}"))
missing = sorted(wanted - asked)
if missing:
    sys.exit("no client's test has asked: " + ", ".join(missing))
print(f"{len(wanted)} routes were asked")

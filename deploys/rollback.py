"""Go back to what served before: a plan, the database, the services one by one, a proof, and who is told.

pyinfra prod deploys/rollback.py [--data release=…] [--data service=api] [--data reason="…"] [--data batch=2]
    [--data database=auto|keep|revert|restore|branch] [--data backup=ID] [--data branch=NAME] [--data confirm=prod]
"""

from pyinfra import host

from ops.operations import places, rollback

chosen = places.names(host.data.get("service"))
rollback.look(name="Look at every service", service=host.data.get("service"))
rollback.planned(
    name="Plan",
    release=host.data.get("release"),
    database=host.data.get("database", "auto"),
    backup=host.data.get("backup"),
    branch=host.data.get("branch"),
    confirm=host.data.get("confirm"),
    batch=host.data.get("batch", 1),
)
rollback.database_back(name="Bring the database back", _ignore_errors=True)
for service in chosen:
    rollback.service_back(name=f"Bring {service} back", service=service, _ignore_errors=True)
rollback.proven(name="Prove it", _ignore_errors=True)
rollback.sheltered(name="Shelter what does not serve", _ignore_errors=True)
rollback.told(name="Tell how it ended")

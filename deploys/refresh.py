"""Refresh: production's newest proven backup, masked, takes the place of this environment's database; what was is kept.

pyinfra staging deploys/refresh.py [--data backup=ID]
"""

from pyinfra import host

from ops.operations import places, refresh

backup = host.data.get("backup")
refresh.planned(name="Plan", backup=backup, _ignore_errors=True)
refresh.masked(name="Bring it beside, masked", backup=backup, _ignore_errors=True)
refresh.migrated(name="Migrate it to the code here", _ignore_errors=True)
refresh.swapped(name="Swap it in", _ignore_errors=True)
for service in places.names():
    refresh.restarted(name=f"Restart {service}", service=service, _ignore_errors=True)
refresh.verified(name="Verify", _ignore_errors=True)
refresh.swapped_back(name="Swap back what does not hold", _ignore_errors=True)
for service in places.names():
    refresh.restarted_back(name=f"Restart {service} again", service=service, _ignore_errors=True)
refresh.tidied(name="Drop what is not needed any more", _ignore_errors=True)
refresh.told(name="Tell how it ended")

"""Release: look first, back up, migrate, bring out, verify, watch; one record for all of it, and the way back at hand.

pyinfra prod deploys/release.py [--data release=…] [--data service=api] [--data batch=2] [--data max_age=1h]
    [--data watch=10m] [--data rollback=offer|automatic] [--data reason="…"]
"""

from pyinfra import host

from ops.operations import places, release, rollback, services

service, watch, version = host.data.get("service"), host.data.get("watch"), host.data.get("release")
batch = services.hosts_at_once(host.data.get("batch", 1))
chosen, mode = places.names(service), release.mode(host.data.get("rollback"))

release.preflight(name="Preflight", watch=watch, _ignore_errors=True)
for name in chosen:
    release.found(name=f"Find {name}", service=name, release=version, _ignore_errors=True)
release.backed_up(name="Back up", max_age=host.data.get("max_age", "1h"), _ignore_errors=True)
release.migrated(name="Migrate", _ignore_errors=True)
for name in chosen:
    release.brought_out(name=f"Bring {name} out", service=name, release=version, batch=batch, _ignore_errors=True)
release.verified(name="Verify", _ignore_errors=True)
if watch is not None:
    release.watched(name="Watch", lasting=watch, _ignore_errors=True)
if mode == "automatic":
    back = release.must_go_back
    rollback.look(name="Look at every service", service=service, when=back, _ignore_errors=True)
    rollback.planned(name="Plan the way back", when=back, batch=batch, _ignore_errors=True)
    rollback.database_back(name="Bring the database back", _ignore_errors=True)
    for name in chosen:
        rollback.service_back(name=f"Bring {name} back", service=name, _ignore_errors=True)
    rollback.proven(name="Prove it", _ignore_errors=True)
    release.verified_back(name="Verify the way back", _ignore_errors=True)
    rollback.sheltered(name="Shelter what does not serve", when=release.does_not_hold, _ignore_errors=True)
release.told(name="Tell how it ended", service=service, mode=mode)

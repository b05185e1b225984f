"""Let jobs run by themselves on the runner, as the inventory's schedule says: a backup every night, a drill every week.
Needs root there: add --sudo where who connects is somebody else. Again after every change, also of a secret.

pyinfra prod deploys/schedule.py [--data present=no] [--data python=python3.12]
"""

from pyinfra import host

from ops.operations import schedule

if schedule.wanted(host.data.get("present", "yes")):
    schedule.checked(name="See that the schedule can be kept")
    schedule.project(name="Put this version on the runner", python=host.data.get("python", "python3"))
    schedule.secrets(name="Put the secrets on the runner")
    schedule.installed(name="Install the timers")
    schedule.shown(name="Show when the jobs run")
else:
    schedule.removed(name="Take the jobs away")

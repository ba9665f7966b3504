"""A registry that stalls, breaks off and lies."""

import time

from machine import Background
from pods import IMAGE

# What the registry does, and what the error says.
FAULTS = {
    "stall": r"127\.0\.0\.1:5000",
    "trickle": r"127\.0\.0\.1:5000",
    "close": r"127\.0\.0\.1:5000",
    "garbage": r"digest|sha256",
    "error": r"500",
}
QUICK = ["stall", "close", "garbage", "error"]
# Longer than all attempts with their pauses; without limits of its own it would
# be for ever.
LIMIT = 300


def pulls(machine, random, rounds):
    registry, slowest = machine.registry, 0
    # A second one while the first is at it: both hear the same.
    order = ["trickle", *QUICK * min(rounds, 5)] if rounds > 1 else ["stall", random.choice(QUICK[1:])]
    for number, fault in enumerate(order):
        pattern = FAULTS[fault]
        image = registry.publish(f"broken-{number}", 2 << 20, random)
        spec = {"image": {"image": image}}
        registry.misbehave(fault)
        began = time.monotonic()
        other = Background(lambda: machine.cri("PullImage", spec, LIMIT))
        machine.refuses(f"{fault}: a pull ends, and says why", pattern, "PullImage", spec, LIMIT)
        machine.check(f"{fault}: so does the other", other.join() and other.error is not None, other.error)
        slowest = max(slowest, time.monotonic() - began)
        machine.check(f"{fault}: the registry was asked", registry.faults > 0)
        answer = machine.cri("ImageStatus", spec)
        machine.check(f"{fault}: no such image is seen", not answer.image.id, answer)
        names = [tag for one in machine.cri("ListImages").images for tag in one.repo_tags]
        machine.check(f"{fault}: nor listed", names == [IMAGE], names)
        registry.misbehave(None)
        gets = registry.gets
        second = Background(lambda: machine.cri("PullImage", spec, 60))
        machine.does(f"{fault}: the next pull works", "PullImage", spec, 60)
        machine.check(f"{fault}: and so does one beside it", second.join() and second.error is None, second.error)
        machine.check(f"{fault}: each blob was fetched once at most", registry.gets - gets <= 3, registry.gets - gets)
        machine.does(f"{fault}: the image goes", "RemoveImage", spec)
        machine.prune()
        machine.clean(f"{fault}")
    # The daemon is killed while it waits.
    image = registry.publish("killed-pull", 2 << 20, random)
    registry.misbehave("stall")
    pull = Background(lambda: machine.cri("PullImage", {"image": {"image": image}}, 60))
    time.sleep(1)
    machine.kill()
    pull.join()
    registry.misbehave(None)
    machine.start()
    machine.does("a pull whose daemon was killed works again", "PullImage", {"image": {"image": image}}, 60)
    machine.does("and its image goes", "RemoveImage", {"image": {"image": image}})
    machine.prune()
    return f"{len(order)} faults, the slowest answer after {slowest:.1f} s"

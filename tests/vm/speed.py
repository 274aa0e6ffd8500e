"""How fast is this machine? Prints two times of a fixed piece of work, in seconds.

First how long it took, on average of three, then the processor time that it needed, the least of
three: what else the machine does makes the first longer and not the second. Half of the work is
Python, half are processes that start and end, which is what a lab consists of.
"""

import os
import subprocess
import sys
import time

TIMES = 3


def work():
    table = {}
    for number in range(300_000):
        table[number % 977] = (number * 31) ^ len(table)
    for _ in range(8):
        subprocess.run(["/bin/true"], check=True)
    subprocess.run([sys.executable, "-S", "-c", "import json"], check=True)


def used_s():
    return sum(os.times()[:4])


def measure():
    began, before_s = time.perf_counter(), used_s()
    work()
    return time.perf_counter() - began, used_s() - before_s


if __name__ == "__main__":
    took, used = zip(*(measure() for _ in range(TIMES)), strict=True)
    print(f"{sum(took) / TIMES:.4f} {min(used):.4f}")

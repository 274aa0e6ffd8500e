"""How fast is this machine? Prints the seconds of a fixed piece of work: the best of three.

Half of it is Python, half are processes that start and end, which is what a lab consists of.
"""

import subprocess
import sys
import time


def work():
    began = time.perf_counter()
    table = {}
    for number in range(300_000):
        table[number % 977] = (number * 31) ^ len(table)
    for _ in range(8):
        subprocess.run(["/bin/true"], check=True)
    subprocess.run([sys.executable, "-S", "-c", "import json"], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(f"{min(work() for _ in range(3)):.4f}")

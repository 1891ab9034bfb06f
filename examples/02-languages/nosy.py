"""A script that means no good: what it looks for, and what came of it."""

import os
import socket
import subprocess
import threading
import urllib.request

found = 0
for what, act in {
    "your passwords": lambda: open("/etc/passwd").read(),
    "your keys": lambda: os.listdir(os.path.expanduser("~/.ssh")),
    "your variables": lambda: os.environ["API_TOKEN"],
    "a shell": lambda: subprocess.run(["sh", "-c", "id"], check=True),
    "the network": lambda: urllib.request.urlopen("http://127.0.0.1/"),
    "a raw connection": lambda: socket.create_connection(("127.0.0.1", 22)),
    "a thread to hide in": lambda: threading.Thread(target=print).start(),
}.items():
    try:
        act()
        print(f"{what}: found")
        found += 1
    except Exception as error:
        print(f"{what}: {type(error).__name__}")
print("found", found)

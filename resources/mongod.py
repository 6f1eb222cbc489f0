"""An embedded MongoDB: a real mongod on loopback, as a one-node replica set, with its data in one folder.

`start_mongod(folder)` starts it or joins the one that already runs on that folder. It dies with the process that
started it, unless it was detached; the folder can be moved, and is opened again on the port it had.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from agent_assets.errors import ConfigError, MongoUnavailable
from resources.mongo_retry import Document

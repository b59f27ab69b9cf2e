"""A service with an embedding model: starts at once, loads for a while.

	uvicorn app:app --host 127.0.0.1 --port 8080

What health.fcgi looks at (health.conf beside this file):

- /ping answers while the application answers at all.  It is "async" and waits
  for nobody, so that what it tells is about the event loop, and not about a
  dependency: those are asked by health.fcgi itself.
- The marker is written once the model is loaded, and holds our process id and
  start time: a marker that an earlier, crashed process left behind, or one of
  another container, proves nothing.
"""
import hashlib
import os
import threading
import time

from fastapi import FastAPI, HTTPException

MARKER = os.environ.get("MODEL_MARKER", "/run/shop/model-loaded")
MODEL = os.environ.get("MODEL_PATH", "/srv/models/embedding.safetensors")

app = FastAPI()
model = None


def load_model():
    """In a thread: the event loop answers /ping meanwhile."""
    global model
    # Stands for the library of your choice.
    time.sleep(float(os.environ.get("MODEL_SECONDS", "0")))
    with open(MODEL, "rb") as f:
        model = f.read()
    # Written aside and renamed: nobody reads half a marker.
    with open("/proc/self/stat") as f:
        started = f.read().rpartition(")")[2].split()[19]
    with open(MARKER + ".new", "w") as f:
        f.write("%d start=%s\n" % (os.getpid(), started))
    os.rename(MARKER + ".new", MARKER)


@app.on_event("startup")
def start_loading():
    try:
        os.unlink(MARKER)
    except FileNotFoundError:
        pass
    threading.Thread(target=load_model, daemon=True).start()


@app.get("/ping")
async def ping():
    return {}


@app.get("/embed")
async def embed(text: str):
    if model is None:
        raise HTTPException(503, "the model is being loaded")
    return {"embedding": list(hashlib.sha256(model + text.encode()).digest())}

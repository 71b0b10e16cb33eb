#!{{.Python}} -I
"""Starts the server of the model that is in this image. Written by mlenv.

    mlenv-serve          start the server
    mlenv-serve serve    the same: SageMaker gives this word to every container
    mlenv-serve ping     ask the running server for /ping; exit with 0 if it answers 200

Of the variables for one thing, the first that is set and not empty counts:

    port      MLSERVER_HTTP_PORT (MLServer alone), SAGEMAKER_BIND_TO_PORT, AIP_HTTP_PORT, PORT
    workers   MLSERVER_PARALLEL_WORKERS (MLServer alone), MLFLOW_MODELS_WORKERS, WEB_CONCURRENCY
    timeout   MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT, in seconds, of one request

Where none is set, the values below count. gunicorn takes what GUNICORN_CMD_ARGS says before all of
these. Traces are recorded if MLFLOW_TRACKING_URI, MLFLOW_TRACING_DESTINATION or one of OpenTelemetry's
variables below says where. Needs nothing but Python 3.6 or later.
"""
import os
import sys

SERVER = "{{.Server}}"
PORT = {{.Port}}
WORKERS = {{.Workers}}
TIMEOUT = 60  # MLflow's own default
MODEL = "{{.Model}}"
DATABASE = {{if .Database}}True{{else}}False{{end}}  # MLflow wants one for its traces

PORTS = ["SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "PORT"]
COUNTS = ["MLFLOW_MODELS_WORKERS", "WEB_CONCURRENCY"]
TIMEOUTS = ["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"]
if SERVER == "mlserver":
    PORTS.insert(0, "MLSERVER_HTTP_PORT")
    COUNTS.insert(0, "MLSERVER_PARALLEL_WORKERS")

# Any of these says where MLflow's traces go.
TRACES = ["MLFLOW_TRACKING_URI", "MLFLOW_TRACING_DESTINATION", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]

# How long uvicorn waits for a sign of life from a worker before it replaces it, in seconds. Its own
# 5 are too few for a worker that starts with a small share of a processor.
SIGN_OF_LIFE = 300


def refuse(message):
    sys.stderr.write("mlenv-serve: " + message + "\n")
    sys.exit(2)


def number(names, default, least, most):
    """Gives the value of the first of these variables that is set, or the default."""
    for name in names:
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        if not all(c in "0123456789" for c in text) or not least <= int(text) <= most:
            refuse("{} is {!r}: a whole number from {} to {} is needed".format(name, text, least, most))
        return int(text)
    return default


def port():
    return number(PORTS, PORT, 1, 65535)


def workers():
    # With 0, MLServer predicts in its main process.
    return number(COUNTS, WORKERS, 0 if SERVER == "mlserver" else 1, 10000)


def timeout():
    return number(TIMEOUTS, TIMEOUT, 1, 10 ** 6)


def settle_traces():
    """Gives MLflow a place for its traces, and has it record none, where no variable says where they go.

    At the first trace, MLflow from 3.7 on makes the database mlflow.db in the working directory. Nobody may
    write there, and it tries for longer than a request may take, so that an agent would never answer. In
    /tmp it can be made. It stays empty, for traces that end with the container help nobody, and would
    fill /tmp; MLFLOW_TRACE_SAMPLING_RATIO says otherwise.
    """
    if DATABASE and not any(os.environ.get(name) for name in TRACES):
        os.environ["MLFLOW_TRACKING_URI"] = "sqlite:////tmp/mlflow.db"
        if not os.environ.get("MLFLOW_TRACE_SAMPLING_RATIO"):
            os.environ["MLFLOW_TRACE_SAMPLING_RATIO"] = "0"


def start():
    """Replaces this process by the server, so that the server is the one that gets the signals."""
    said = "starting {}: port {}, workers {}".format(SERVER, port(), workers())
    if SERVER != "mlserver":
        said += ", request timeout {} s".format(timeout())
    sys.stderr.write("mlenv-serve: " + said + "\n")
    sys.stderr.flush()
    settle_traces()
    command = {"uvicorn": uvicorn, "gunicorn": gunicorn, "mlserver": mlserver}[SERVER]()
    os.execv(sys.executable, [sys.executable] + command)


def uvicorn():
    # The request timeout is MLflow's business here: its app reads the variable itself.
    more = []
    if workers() > 1 and uvicorn_version() >= (0, 37):
        more = ["--timeout-worker-healthcheck", str(SIGN_OF_LIFE)]
    return ["-m", "uvicorn", "--host", "0.0.0.0", "--port", str(port()), "--workers", str(workers())] + more + [
        "mlflow.pyfunc.scoring_server.app:app"]


def uvicorn_version():
    try:
        from importlib import metadata

        return tuple(int(part) for part in metadata.version("uvicorn").split(".")[:2])
    except Exception:  # an odd version, or none that is known: do without what only some have
        return (0, 0)


def gunicorn():
    # Not by -m: only code can give gunicorn the functions that run_gunicorn defines.
    return [os.path.abspath(__file__), "run-gunicorn"]


def run_gunicorn():
    """Runs gunicorn with settings that its command line cannot express."""
    import threading

    from gunicorn.app.wsgiapp import WSGIApplication

    # The arbiter kills a worker that has not called notify for as long as a request may take, and a
    # worker does not call it while it imports the model, which can take longer than any request. So
    # another thread calls it until the worker is ready.
    def post_fork(server, worker):
        worker.model_is_loaded = threading.Event()

        def notify():
            while not worker.model_is_loaded.wait(1):
                worker.notify()

        threading.Thread(target=notify, daemon=True).start()

    def post_worker_init(worker):
        worker.model_is_loaded.set()

    settings = {
        "bind": "0.0.0.0:{}".format(port()),
        "workers": workers(),
        "timeout": timeout(),
        "worker_tmp_dir": "/dev/shm",  # can be written to where the root file system cannot
        "post_fork": post_fork,
        "post_worker_init": post_worker_init,
    }

    class Server(WSGIApplication):
        def load_config(self):
            for name, value in settings.items():
                self.cfg.set(name, value)
            super().load_config()  # which reads GUNICORN_CMD_ARGS

    sys.path.pop(0)  # the directory of this file
    sys.argv = ["gunicorn", "mlflow.pyfunc.scoring_server.wsgi:app"]
    Server("%(prog)s [OPTIONS] [APP_MODULE]").run()


def mlserver():
    os.environ["MLSERVER_HTTP_PORT"] = str(port())
    os.environ["MLSERVER_PARALLEL_WORKERS"] = str(workers())
    return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "mlserver"), "start", MODEL]


def ping():
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port()), timeout=4) as connection:
            connection.sendall(b"GET /ping HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            status = connection.makefile("rb").readline(64)
    except OSError as error:
        refuse("no answer to /ping: {}".format(error))
    if status.split()[1:2] != [b"200"]:
        refuse("/ping answers {!r}".format(status.decode("latin-1").strip()))


def main(arguments):
    if arguments in ([], ["serve"]):
        start()
    elif arguments == ["ping"]:
        ping()
    elif arguments == ["run-gunicorn"] and not sys.flags.isolated:  # start itself asks for it
        run_gunicorn()
    else:
        refuse("{!r} is not understood: the only arguments are serve and ping. To run something else in this "
               "image, replace its entrypoint: docker run --entrypoint".format(" ".join(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])

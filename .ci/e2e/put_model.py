"""Puts the files of a directory into a bucket: put_model.py s3|gs|azure ENDPOINT DIR PREFIX.

The bucket is called "models" and is made if it is not there. Each store is filled by a client that is not mlenv's.
"""
import pathlib
import sys
import urllib.parse
import urllib.request

kind, endpoint, root, prefix = sys.argv[1:]
files = {prefix + "/" + p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(pathlib.Path(root).rglob("*")) if p.is_file()}

if kind == "s3":
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="models")
    for name, data in files.items():
        client.put_object(Bucket="models", Key=name, Body=data)
elif kind == "azure":
    from azure.storage.blob import ContainerClient

    container = ContainerClient.from_connection_string(endpoint, "models")
    if not container.exists():
        container.create_container()
    for name, data in files.items():
        container.upload_blob(name, data, overwrite=True)
else:
    def post(path, data, kind):
        request = urllib.request.Request(endpoint + path, data, {"Content-Type": kind}, method="POST")
        urllib.request.urlopen(request).read()

    post("/storage/v1/b?project=e2e", b'{"name": "models"}', "application/json")
    for name, data in files.items():
        post("/upload/storage/v1/b/models/o?uploadType=media&name=" + urllib.parse.quote(name, safe=""), data, "application/octet-stream")

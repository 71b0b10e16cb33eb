package main

import (
	"errors"
	"net/http"

	"mlenv/resolve/fetch"
)

// fetchHint says what helps against an error of fetching a model.
func fetchHint(err error) string {
	var e *fetch.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Kind {
	case fetch.BadURI:
		return uriForms[e.Detail]
	case fetch.Unsupported:
		return unsupportedHint(e)
	case fetch.NoServer:
		if hint := cloudHints[e.Detail]; hint != "" {
			return hint
		}
		return "name the server in MLFLOW_TRACKING_URI or with --tracking-uri, such as http://mlflow.example.com:5000"
	case fetch.Database:
		return "start a server on it with mlflow server --backend-store-uri " + e.Detail + ", and give --tracking-uri http://127.0.0.1:5000"
	case fetch.BadSettings:
		if hint := cloudHints[e.Detail]; hint != "" {
			return hint
		}
		return "mlenv reads the variables that MLflow reads; docs/sources-of-models.md lists them"
	case fetch.NotFound:
		if e.Detail == "deleted" {
			return "restore it with mlflow runs restore --run-id RUN_ID, or give the models:/ URI of a version that was registered from it"
		}
		if hint := cloudHints[e.Detail]; hint != "" {
			return "check the spelling, and that the credentials may read it: " + hint
		}
		return "check the spelling, and that --tracking-uri or MLFLOW_TRACKING_URI names the server that has it"
	case fetch.Empty:
		return "its files were deleted, or never logged: log the model again, or choose another version"
	case fetch.NotEmptyDir:
		return "name a directory that is empty, or does not exist yet"
	case fetch.NotReady:
		return "wait until it is uploaded, or log it again if that failed"
	case fetch.Changed, fetch.BadListing:
		return "find out who answers in the server's name, or what is wrong with its store, before going on"
	}
	return connectionHint(e)
}

// connectionHint says what helps where a server could not be asked, or did not answer as it should.
func connectionHint(e *fetch.Error) string {
	if hint := cloudHints[e.Detail]; hint != "" && e.Kind == fetch.Denied {
		return hint
	}
	switch e.Kind {
	case fetch.Denied:
		if e.Status == http.StatusProxyAuthRequired {
			return "put the proxy's user and password into HTTPS_PROXY"
		}
		return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of somebody who may read it"
	case fetch.NotMLflow:
		return "check the server's address, its path included; a login page means that a proxy wants a token: set MLFLOW_TRACKING_TOKEN"
	case fetch.Unreachable:
		return "check that the server runs, its address in MLFLOW_TRACKING_URI, and HTTPS_PROXY and NO_PROXY if this machine needs them"
	case fetch.Certificate:
		return "name the file with the authority's certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
	case fetch.ServerFailed:
		return "look into the server's log; if it goes on, mlflow artifacts download shows whether MLflow itself gets the model"
	case fetch.Truncated:
		return "run it again; if it goes on, a proxy before the server may cut long answers off"
	}
	return ""
}

// cloudHints say which credentials a cloud's store wants, by the Detail of an error.
var cloudHints = map[string]string{
	"s3":         "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who may list and read the bucket, and AWS_REGION, or MLFLOW_S3_ENDPOINT_URL for a store of your own",
	"gs":         "name a file of credentials that may list and read the bucket in GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login",
	"databricks": "set DATABRICKS_HOST and DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, or name a profile of ~/.databrickscfg that has them",
	"azure":      "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
}

// uriForms are how URIs are written, by their scheme.
var uriForms = map[string]string{
	"models":           "write models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest, models:/NAME/STAGE or models:/MODEL_ID",
	"runs":             "write runs:/RUN_ID/PATH, such as runs:/8a2f…/model",
	"mlflow-artifacts": "write mlflow-artifacts:/PATH or mlflow-artifacts://HOST:PORT/PATH",
	"file":             "write file:///DIR, or the directory's path alone",
	"databricks-uc":    "write models:/CATALOG.SCHEMA.NAME/VERSION or models:/CATALOG.SCHEMA.NAME@ALIAS",
	"s3":               "write s3://BUCKET/PATH",
	"gs":               "write gs://BUCKET/PATH",
	"azure":            "write wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH, or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH",
	"http":             "write models:/NAME/VERSION, and name the server with --tracking-uri",
}

// unsupportedHint says how to come by a model that mlenv does not fetch itself.
func unsupportedHint(e *fetch.Error) string {
	switch e.Detail {
	case "databricks":
		return cloudHints["databricks"]
	case "databricks-model":
		return "give the models:/ URI of a version, or download the model with mlflow artifacts download -u URI -d DIR, and give mlenv DIR"
	case "http":
		return uriForms["http"]
	case "aws-profile":
		return "run aws configure export-credentials --format env, and set the variables that it prints"
	case "gs-file":
		return "use the file of a service account, or what gcloud auth application-default login writes"
	case "MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4":
		return "unset it and set MLFLOW_TRACKING_TOKEN, or download the model with mlflow artifacts download"
	}
	return "give the models:/ or runs:/ URI instead, whose server hands out the files, or download them with mlflow artifacts download -u URI -d DIR, and give mlenv DIR"
}

package check

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mlenv/resolve/pep508"
)

//go:embed stdlib.txt
var stdlibText string

// lifetime is the first and last minor version of Python 3 that has a module.
type lifetime struct{ first, last int }

// stdlib holds Python's own modules; the table is written by .ci/oracle/stdlib_modules.py.
var stdlib = sync.OnceValue(func() map[string]lifetime {
	table := map[string]lifetime{}
	for line := range strings.Lines(stdlibText) {
		if f := strings.Fields(line); len(f) == 3 && f[0] != "#" {
			table[f[0]] = lifetime{minorNumber(f[1]), minorNumber(f[2])}
		}
	}
	return table
})

// minorNumber returns 11 for "3.11", 0 for anything else.
func minorNumber(version string) int {
	text, _ := strings.CutPrefix(version, "3.")
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// newestListed is the last version in the table: newer ones are taken to have what it has.
const newestListed = 14

// has reports that the minor version has the module; an unknown version has all.
func (l lifetime) has(minor int) bool {
	return minor == 0 || minor >= l.first && (minor <= l.last || l.last == newestListed)
}

// distributions gives the distributions that bring a module whose name is not theirs. For a
// namespace that many share, "x-*" stands for all that begin so.
var distributions = map[string][]string{
	"attr": {"attrs"}, "azure": {"azure-*"}, "backports": {"backports-*"}, "bs4": {"beautifulsoup4"},
	"boto": {"boto"}, "caffe2": {"torch"}, "category_encoders": {"category-encoders"}, "cv2": {"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"},
	"Crypto": {"pycryptodome", "pycrypto"}, "Cryptodome": {"pycryptodomex"}, "databricks": {"databricks-*"}, "dateutil": {"python-dateutil"},
	"delta": {"delta-spark"}, "distutils": {"setuptools"}, "dns": {"dnspython"}, "docx": {"python-docx"}, "dotenv": {"python-dotenv"},
	"edgedb": {"edgedb"}, "faiss": {"faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11"}, "fitz": {"pymupdf"}, "flask_cors": {"flask-cors"},
	"git": {"gitpython"}, "github": {"pygithub"}, "google": {"google-*", "protobuf", "googleapis-*"}, "googleapiclient": {"google-api-python-client"},
	"grpc": {"grpcio"}, "h5py": {"h5py"}, "hdbscan": {"hdbscan"}, "IPython": {"ipython"}, "imblearn": {"imbalanced-learn"}, "jose": {"python-jose"},
	"jwt": {"pyjwt"}, "kafka": {"kafka-python", "kafka-python-ng"}, "konlpy": {"konlpy"}, "levenshtein": {"levenshtein"}, "Levenshtein": {"levenshtein", "python-levenshtein"},
	"lightning": {"lightning"}, "llama_cpp": {"llama-cpp-python"}, "llama_index": {"llama-index", "llama-index-*"}, "magic": {"python-magic"},
	"markdown": {"markdown"}, "mpl_toolkits": {"matplotlib"}, "MySQLdb": {"mysqlclient"}, "mysql": {"mysql-connector-python"}, "nacl": {"pynacl"},
	"mlflow": {"mlflow", "mlflow-skinny", "mlflow-tracing", "mlflow-*"}, "OpenSSL": {"pyopenssl"}, "openpyxl": {"openpyxl"}, "opentelemetry": {"opentelemetry-*"},
	"PIL": {"pillow", "pillow-simd"}, "pkg_resources": {"setuptools"}, "_distutils_hack": {"setuptools"}, "pl_bolts": {"lightning-bolts"}, "pptx": {"python-pptx"},
	"psycopg2": {"psycopg2", "psycopg2-binary"}, "pyximport": {"cython"}, "Cython": {"cython"}, "pythonjsonlogger": {"python-json-logger"},
	"pywt": {"pywavelets"}, "pyarrow": {"pyarrow"}, "redis": {"redis"}, "rest_framework": {"djangorestframework"}, "ruamel": {"ruamel-yaml", "ruamel-*"},
	"sacrebleu": {"sacrebleu"}, "serial": {"pyserial"}, "skimage": {"scikit-image"}, "sklearn": {"scikit-learn"}, "sklearnex": {"scikit-learn-intelex"},
	"skopt": {"scikit-optimize"}, "sklego": {"scikit-lego"}, "slugify": {"python-slugify"}, "snappy": {"python-snappy"}, "socks": {"pysocks"}, "sksurv": {"scikit-survival"},
	"speech_recognition": {"speechrecognition"}, "tensorflow": {"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly"},
	"tensorflow_hub": {"tensorflow-hub"}, "tf_keras": {"tf-keras"}, "tlz": {"toolz"}, "torch": {"torch"}, "umap": {"umap-learn"}, "usb": {"pyusb"},
	"websocket": {"websocket-client"}, "werkzeug": {"werkzeug"}, "win32api": {"pywin32"}, "xdg": {"pyxdg"}, "xgboost": {"xgboost", "xgboost-cpu"},
	"yaml": {"pyyaml"}, "zmq": {"pyzmq"}, "zope": {"zope-*"}, "snowflake": {"snowflake-*"}, "pyspark": {"pyspark", "databricks-connect"},
	"sentence_transformers": {"sentence-transformers"}, "pytorch_lightning": {"pytorch-lightning", "lightning"}, "langchain": {"langchain"},
	"fastapi": {"fastapi"}, "async_timeout": {"async-timeout"}, "typing_extensions": {"typing-extensions"}, "past": {"future"},
	"lightgbm": {"lightgbm"}, "wx": {"wxpython"}, "gi": {"pygobject"}, "pyasn1_modules": {"pyasn1-modules"}, "jpype": {"jpype1"},
	"sqlalchemy": {"sqlalchemy"}, "ldap": {"python-ldap"}, "dash_bootstrap_components": {"dash-bootstrap-components"}, "pydantic_core": {"pydantic-core"},
	"igraph": {"igraph", "python-igraph"}, "community": {"python-louvain"}, "leidenalg": {"leidenalg"}, "graphviz": {"graphviz"}, "pydot": {"pydot"},
	"swiftclient": {"python-swiftclient"}, "bson": {"pymongo"}, "gridfs": {"pymongo"}, "elasticsearch": {"elasticsearch"}, "unidecode": {"unidecode"},
	"charset_normalizer": {"charset-normalizer"}, "cairo": {"pycairo"}, "multipart": {"python-multipart"}, "mdit_py_plugins": {"mdit-py-plugins"},
	"absl": {"absl-py"}, "tree": {"dm-tree"}, "haiku": {"dm-haiku"}, "flax": {"flax"}, "pulp": {"pulp"}, "ortools": {"ortools"}, "shapefile": {"pyshp"}, "osgeo": {"gdal"},
	"mx": {"egenix-mx-base"}, "docker": {"docker"}, "telegram": {"python-telegram-bot"}, "discord": {"discord-py"}, "tabula": {"tabula-py"}, "cassandra": {"cassandra-driver"},
}

// brings says what widely used distributions install with them, by the names of modules, so that
// importing those without requiring them is no news.
var brings = map[string][]string{
	"mlflow": {"alembic", "cachetools", "click", "cloudpickle", "databricks", "docker", "fastapi", "flask", "git", "google", "graphene",
		"gunicorn", "importlib_metadata", "jinja2", "joblib", "markdown", "matplotlib", "mlflow", "numpy", "opentelemetry", "packaging",
		"pandas", "pyarrow", "pydantic", "dateutil", "pytz", "requests", "scipy", "sklearn", "sqlalchemy", "sqlparse", "threadpoolctl",
		"typing_extensions", "uvicorn", "werkzeug", "yaml", "dotenv", "urllib3", "certifi", "PIL", "mpl_toolkits"},
	"mlflow-skinny": {"cachetools", "click", "cloudpickle", "databricks", "git", "google", "importlib_metadata", "mlflow", "opentelemetry",
		"packaging", "pydantic", "requests", "sqlparse", "typing_extensions", "yaml", "urllib3", "certifi"},
	"pandas":       {"numpy", "dateutil", "pytz", "six"},
	"scipy":        {"numpy"},
	"scikit-learn": {"numpy", "scipy", "joblib", "threadpoolctl"},
	"xgboost":      {"numpy", "scipy"}, "lightgbm": {"numpy", "scipy"}, "catboost": {"numpy", "pandas", "scipy", "matplotlib", "plotly", "six"},
	"statsmodels": {"numpy", "scipy", "pandas", "patsy", "packaging"}, "matplotlib": {"numpy", "PIL", "dateutil", "packaging"},
	"torch": {"sympy", "networkx", "jinja2", "fsspec", "filelock", "typing_extensions"}, "torchvision": {"torch", "numpy", "PIL"},
	"tensorflow":            {"keras", "numpy", "h5py", "absl", "requests", "six", "google", "grpc", "tensorboard", "packaging"},
	"transformers":          {"numpy", "requests", "tqdm", "yaml", "regex", "tokenizers", "safetensors", "huggingface_hub", "packaging", "filelock"},
	"sentence-transformers": {"transformers", "torch", "numpy", "scipy", "sklearn", "huggingface_hub", "tqdm", "PIL"},
	"langchain":             {"langchain_core", "langchain_text_splitters", "langsmith", "pydantic", "sqlalchemy", "requests", "yaml", "numpy"},
	"langchain-core":        {"langsmith", "pydantic", "tenacity", "yaml", "packaging", "typing_extensions"},
	"openai":                {"httpx", "pydantic", "anyio", "tqdm", "typing_extensions"}, "requests": {"urllib3", "certifi", "idna", "charset_normalizer"},
	"spacy": {"numpy", "thinc", "srsly", "catalogue", "wasabi", "typer", "pydantic", "jinja2", "requests", "tqdm"}, "shap": {"numpy", "scipy", "pandas", "sklearn", "numba", "tqdm"},
	"prophet": {"numpy", "pandas", "cmdstanpy", "matplotlib", "holidays", "tqdm"}, "scikit-image": {"numpy", "scipy", "PIL", "networkx", "imageio"},
	"seaborn": {"numpy", "pandas", "matplotlib"}, "boto3": {"botocore", "s3transfer", "jmespath", "dateutil"}, "fastapi": {"starlette", "pydantic"},
	"pyspark": {"py4j"}, "skops": {"sklearn", "numpy", "scipy", "huggingface_hub", "packaging"}, "nltk": {"click", "joblib", "regex", "tqdm"},
	"pymupdf": {"pymupdf"}, "setuptools": {"pkg_resources", "distutils", "_distutils_hack"}, "numba": {"llvmlite", "numpy"},
	"opencv-python": {"numpy"}, "opencv-python-headless": {"numpy"}, "imbalanced-learn": {"sklearn", "numpy", "scipy", "joblib"}, "optuna": {"numpy", "sqlalchemy", "alembic", "yaml", "tqdm"},
}

// ownName holds the modules of the table whose distribution has their name.
var ownName = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, modules := range brings {
		for _, m := range modules {
			names[m] = true
		}
	}
	return names
})

// bringers lists the distributions that have the module, "x-*" for those that begin so, and
// whether the table knows them: otherwise they are only the likely names.
func bringers(module string) (names []string, known bool) {
	if names, ok := distributions[module]; ok {
		return names, true
	}
	name := string(pep508.NormalizeName(module))
	if ownName()[module] {
		return []string{name}, true
	}
	return []string{name, "python-" + name, "py" + name, "py-" + name, name + "-python", name + "-py", strings.TrimPrefix(name, "py")}, false
}

// isBrought reports that one of the distributions in have brings the module.
func isBrought(module string, have map[string]bool) bool {
	names, _ := bringers(module)
	for _, name := range names {
		if have[name] {
			return true
		}
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			for h := range have {
				if strings.HasPrefix(h, prefix) {
					return true
				}
			}
		}
	}
	return false
}

// broughtAlong reports that a distribution in have is known to install one that has the module.
func broughtAlong(module string, have map[string]bool) bool {
	for name := range have {
		if slices.Contains(brings[name], module) {
			return true
		}
	}
	return false
}

# Everything here works on a bare checkout with Go alone; what needs more says so.

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w $(if $(VERSION),-X main.version=$(VERSION))
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 20s
# The race detector needs cgo and a C compiler.
RACE := $(shell test "$$($(GO) env CGO_ENABLED)" = 1 && command -v "$$($(GO) env CC)" >/dev/null && echo -race)

.PHONY: e2e bench-scale bench-memo bench-image bench-start bench-memory build demo test dockerfiles soak lint fuzz golden cross bench-resolve bench-lock oracle oracle-kinds oracle-lock oracle-trust clean

build: ## the static binary ./mlenv
	CGO_ENABLED=0 $(GO) build -trimpath -tags urfave_cli_no_docs -ldflags '$(LDFLAGS)' -o mlenv ./cmd/mlenv

demo: ## an example model taken to an image, built again and retrained, in one screen
	@$(GO) run ./.ci/demo

# Every process under the race detector sleeps a second before it ends, unless it is told not to; the
# scripts of the tests run hundreds. The timeout is for a machine that has much else to do: a test that
# hangs is found a little later there.
test: ## vet and all hermetic tests, with a summary of what was skipped and why
	$(GO) vet ./...
	GORACE=atexit_sleep_ms=0 $(GO) run ./.ci/testsummary -timeout 40m $(RACE) ./... ./.ci/testsummary

# A module of its own: what BuildKit brings with it is no business of mlenv's.
dockerfiles: ## the Dockerfiles of the golden files, read by BuildKit's own parser
	$(GO) -C .ci/dockerfiles test -count=1 ./...

soak: ## 250 image builds against servers that fail at random; 500 hostile inputs, always the same, a tenth of them all right; a base with 3 GB of zeros; every command with secrets everywhere; answers that want gigabytes
	$(GO) test ./cmd/mlenv -run '^TestImageChaos$$' -count=1 -v
	MLENV_TEST_NOTES=200 $(GO) test ./imagebuild/memo -run '^TestNotesChaos$$' -count=1 -v
	MLENV_TEST_HOSTILE=100 $(GO) test ./cmd/mlenv -run '^(TestHostile|TestHostileStatus|TestCredentialsGoNowhere)$$' -count=1 -v -timeout 60m
	$(GO) test ./resolve/index -run '^TestHostileAnswersTakeLittleMemory$$' -count=1 -timeout 30m

bench-scale: ## how many times longer what is twice as long takes, for every shape that a stranger can make long
	$(GO) test ./resolve ./resolve/pep440 ./resolve/check/pyimports ./resolve/index ./resolve/lock ./imagebuild/base -run '^$$' -bench 'Scale|Conjunction|Links' -benchtime 3x

lint: ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./... ./.ci/testsummary ./.ci/demo
	$(GO) -C .ci/dockerfiles vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
		dir=$$($(GO) list -f '{{.Dir}}' $$pkg); \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go 2>/dev/null | cut -c6-); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done
	$(GO) -C .ci/dockerfiles test -run '^$$' -fuzz . -fuzztime $(FUZZTIME) .

golden: ## write the golden files and the generated docs anew
	@for pkg in $$(grep -rlE 'flag\.Bool\("update"' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		$(GO) test $$pkg -update || exit 1; \
	done

cross: ## binaries for all platforms, in dist/
	@for p in $(PLATFORMS); do \
		os=$${p%/*}; arch=$${p#*/}; ext=; [ $$os = windows ] && ext=.exe; \
		echo "dist/mlenv-$$os-$$arch$$ext"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -tags urfave_cli_no_docs -ldflags '$(LDFLAGS)' \
			-o dist/mlenv-$$os-$$arch$$ext ./cmd/mlenv || exit 1; \
	done

bench-resolve: build ## mlenv resolve beside starting Python with MLflow; PYTHON names one that has it
	.ci/bench-resolve

bench-lock: build ## mlenv lock beside uv pip compile, cold and warm, time and memory; UV names uv; asks the package index
	.ci/bench-lock

oracle: ## the tests that `make test` skips, with the references that they want; root on Debian, installs what it needs
	.ci/oracle/tests

oracle-kinds: ## models of every kind, logged by real MLflow and served from their images; writes docs/models.md; ENVS names some; root on Debian, hours
	.ci/oracle/kinds $(ENVS)

oracle-lock: build ## mlenv lock against uv pip compile on real environments, and what a lock installs; UV and PYTHON (3.11) name theirs
	.ci/oracle/lock_vs_uv
	.ci/oracle/lock_installs

oracle-trust: ## signatures, attestations and bills of materials against cosign, oras, regctl, pip and dpkg; root on Debian, compiles cosign
	.ci/oracle/trust

bench-start: ## from a container's start to its first answer, beside the same installed by pip; root on Debian
	.ci/bench-start $(MODEL)

bench-memory: ## peak memory with a wheel of 3 GB and a model of 10 GB; root on Debian, 40 GB of disk
	.ci/bench-memory

bench-image: ## mlenv image beside uv + tar + gzip and docker build; MODEL, MLFLOW; root on Debian
	.ci/bench-image $(or $(MODEL),examples/sklearn) $(MLFLOW)

bench-memo: ## builds with an empty cache by notes in the registry, and 100 images on another base; root on Debian
	.ci/bench-memo $(or $(MODEL),examples/sklearn)

e2e: ## real models, a real registry, real engines; root on Debian, installs what it needs
	.ci/e2e/run $(MODELS)

clean:
	rm -rf mlenv dist demo-out

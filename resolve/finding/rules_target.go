package finding

// targetRules are the rules of the category "target": a model that is right in itself, but not for the base
// or the platform that it is meant for.
var targetRules = []Rule{
	{BaseNotExact, Target, Warning, "the base has another patch release of Python than the model",
		"The registry has no image of the exact version, so the one of the minor version is taken. Name a base yourself if the patch release matters."},
	{GPUDriver, Target, Info, "the locked packages are built for a GPU",
		"The machine needs the GPU and its driver, which no image holds. Where there is none, lock the builds for a CPU, which PyTorch has an index of its own for."},
	{LargeLayer, Target, Warning, "a layer is larger than several registries accept",
		"Registries often refuse layers of more than 8 or 10 GB. Split the file, or find out what your registry accepts."},
	{NativeLibraryMissing, Target, Error, "a wheel needs a shared library that nothing provides",
		"The import fails with \"cannot open shared object file\". Choose a base that has it, or install its package."},
	{NoFittingWheel, Target, Error, "a locked package has no wheel for the platform",
		"It cannot be installed there without a compiler. Choose a version with a wheel, or another base."},
	{PythonEndOfLife, Target, Warning, "the Python version no longer gets security fixes",
		"Vulnerabilities found from now on stay unfixed, and base images are no longer built. Log the model on a newer Python."},
	{PythonOfBase, Target, Warning, "the model names no Python version, so the base decides",
		"The model was trained on a Python that nobody recorded. Name it if you know it."},
	{SystemPackageMissing, Target, Error, "the base lacks a system package that the model needs",
		"Building an image installs no system packages. Choose a base that has it, or write a Dockerfile, which can install it."},
	{TargetArchitecture, Target, Error, "the platform cannot run images for this architecture",
		"The container does not start: \"exec format error\". Build for an architecture that the platform has."},
	{TargetManifest, Target, Error, "the platform does not take this form of manifest",
		"SageMaker refuses OCI manifests, and image indexes of any form. Write the image of one platform with a Docker manifest, which the target sagemaker does by itself."},
	{TargetPort, Target, Error, "the platform calls another port than the one that the container listens on",
		"The endpoint never becomes healthy. Leave the port to the platform, which either has a fixed one or names it in a variable that the container obeys."},
	{TargetRefusesRoot, Target, Error, "the platform's settings refuse a container that runs as root, or as a user who is only named",
		"With runAsNonRoot the kubelet starts a container only if the image's user is a number other than 0. Build with a number for the user."},
	{TargetServer, Target, Error, "nothing in the container answers the platform's requests",
		"The platform sends requests to a server, and the image has none. Build it with MLflow's server or MLServer, or with an entrypoint that serves."},
	{TargetWantsRoot, Target, Warning, "the platform's documents ask for containers that run as root",
		"SageMaker says that it expects all containers to run with root users. Others often work, but nobody vouches for it."},
}

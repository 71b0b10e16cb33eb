package finding

// targetRules are the rules of the category "target".
var targetRules = []Rule{
	{BaseNotExact, Target, Warning, "the base has another patch release of Python than the model",
		"The registry has no image of the exact version, so the one of the minor version is taken. Name a base yourself if the patch release matters."},
	{LargeLayer, Target, Warning, "a layer is larger than several registries accept",
		"Registries often refuse layers of more than 8 or 10 GB. Split the file, or find out what your registry accepts."},
	{NativeLibraryMissing, Target, Error, "a wheel needs a shared library that nothing provides",
		"The import fails with \"cannot open shared object file\". Choose a base that has it, or install its package."},
	{NoFittingWheel, Target, Error, "a locked package has no wheel for the platform",
		"It cannot be installed there without a compiler. Choose a version with a wheel, or another base."},
	{PythonEndOfLife, Target, Warning, "the Python version no longer gets security fixes",
		"Vulnerabilities found from now on stay unfixed, and base images are no longer built. Log the model on a newer Python."},
	{PythonOfBase, Target, Warning, "the model names no Python version, so the base decides",
		"The model was trained on a Python that nobody recorded. Name it with --python if you know it."},
	{SystemPackageMissing, Target, Error, "the base lacks a system package that the model needs",
		"Building an image installs no system packages. Choose a base that has it, or write a Dockerfile, which can install it."},
}

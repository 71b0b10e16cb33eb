package finding

// signatureRules are the rules of the category "signature". An Error is what MLflow's own server would
// answer with, told before anything is deployed.
var signatureRules = []Rule{
	{ExampleMismatch, Signature, Error, "the input example does not fit the signature",
		"MLflow rejects the model's own example, so one of the two is wrong. Log the model again with both from the same data."},
	{ExampleMissing, Signature, Info, "the model has no input example",
		"There is nothing to try the deployed model with. Log the model with input_example."},
	{ExampleUnreadable, Signature, Error, "an input example cannot be read",
		"Nobody can try the model with it. Log the model again."},
	{ServingExampleMismatch, Signature, Error, "the serving example does not fit the signature",
		"The server rejects the request that documents the model. Log the model again, or fix the file."},
	{SignatureMissing, Signature, Warning, "the model has no signature",
		"MLflow then checks no request, and wrong ones fail inside the model. Log the model with a signature or an input example."},
	{SignatureUnreadable, Signature, Error, "the signature cannot be read",
		"MLflow fails to load the model. Log it again."},
}

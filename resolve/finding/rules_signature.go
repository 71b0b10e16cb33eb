package finding

// signatureRules are the rules of the category "signature".
var signatureRules = []Rule{
	{ExampleMismatch, Signature, Error, "the input example does not fit the signature",
		"The model's own example is refused, so either of the two is wrong. Log the model again with both from the same data."},
	{ExampleMissing, Signature, Info, "the model has no input example",
		"There is nothing to try the deployed model with. Log the model with input_example."},
	{ExampleUnreadable, Signature, Error, "an input example cannot be read",
		"Whoever tries the model with it fails. Log the model again."},
	{ServingExampleMismatch, Signature, Error, "the serving example does not fit the signature",
		"The request that documents the model is refused by its server. Log the model again, or mend the file."},
	{SignatureMissing, Signature, Warning, "the model has no signature",
		"MLflow then checks no request, and wrong ones fail inside of the model. Log the model with a signature or an input example."},
	{SignatureUnreadable, Signature, Error, "the signature cannot be read",
		"MLflow fails to load the model. Log it again."},
}

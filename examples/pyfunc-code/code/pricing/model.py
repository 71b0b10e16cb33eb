"""The model: its class is pickled by name, so its code must come along."""

import json

import mlflow

from pricing.fares import price


class Fares(mlflow.pyfunc.PythonModel):
    """Fares of rides, with a booking fee."""

    def load_context(self, context):
        with open(context.artifacts["tariff"]) as f:
            self.fee = json.load(f)["booking_fee"]

    def predict(self, context, model_input, params=None):
        currency = (params or {}).get("currency", "EUR")
        rides = zip(model_input["distance"], model_input["hour"])
        return [price(distance + self.fee, hour, currency) for distance, hour in rides]

// Validates a list of objects of the Prometheus operator: patterns and ranges too, of which types know nothing. The first bad one ends it with 1.
import { readFileSync } from "node:fs";
import * as resources from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  new resources[object.kind](object).validate();
}

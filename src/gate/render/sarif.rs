//! SARIF 2.1.0, for code scanning views (OASIS standard, 2020).

use serde_json::{Value, json};

use super::notable;
use crate::gate::report::{Finding, Report, Weight};

/// A result for everything that is not the same. There is no line to point at, so each names its kernel as a logical location, and
/// carries a fingerprint by which later runs know it again.
pub fn sarif(report: &Report) -> String {
    let rule = |id: &str, text: &str| json!({ "id": id, "shortDescription": { "text": text } });
    let results: Vec<Value> = notable(&report.findings).into_iter().map(result).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "scalemark gate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [
                    rule("slower", "the head is slower than the base"),
                    rule("faster", "the head is faster than the base"),
                    rule("undecided", "the pairs that there were prove nothing"),
                    rule("unfit", "the base differs from a copy of itself"),
                    rule("only-in-base", "the head lacks a kernel, or does it wrong"),
                    rule("only-in-head", "the base lacks a kernel, or does it wrong"),
                ],
            } },
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&document).expect("JSON has a text") + "\n"
}

fn result(finding: &Finding) -> Value {
    let level = match finding.weight() {
        Weight::Regression | Weight::Exact => "error",
        Weight::Undecided | Weight::Unfit => "warning",
        Weight::None => "note",
    };
    let name = format!("{}/{}/{}", finding.kernel, finding.case, finding.metric);
    let mut value = json!({
        "ruleId": finding.verdict.name(),
        "level": level,
        "message": { "text": format!("{}: {}", finding.title(), finding.sentence()) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": "scalemark.toml" } },
            "logicalLocations": [{ "fullyQualifiedName": name, "kind": "function" }],
        }],
        "partialFingerprints": { "scalemarkFinding/v1": format!("{name}/{}", finding.verdict.name()) },
    });
    if let Some(waiver) = &finding.waiver {
        value["suppressions"] = json!([{ "kind": "external", "justification": waiver }]);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::report::tests::report;
    use crate::gate::verdict::{Ratio, Verdict};

    #[test]
    fn a_regression_is_an_error_and_every_rule_that_is_used_is_described() {
        let slower = Verdict::Slower(Ratio(1.03));
        let all = [
            Verdict::Same,
            slower,
            Verdict::Undecided,
            Verdict::Unfit,
            Verdict::OnlyInBase,
            Verdict::OnlyInHead,
            Verdict::Faster(Ratio(0.9)),
        ];
        let mut report = report(&all);
        report.findings[1].waiver = Some("known".into());
        let value: Value = serde_json::from_str(&sarif(&report)).unwrap();
        let run = &value["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), all.len() - 1);
        let rules: Vec<&Value> =
            run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
        assert!(results.iter().all(|r| rules.contains(&&r["ruleId"])));
        let of = |id: &str| results.iter().find(|r| r["ruleId"] == id).unwrap();
        assert_eq!(of("only-in-base")["level"], "error");
        assert_eq!(of("unfit")["level"], "warning");
        assert_eq!(of("slower")["suppressions"][0]["justification"], "known");
    }
}

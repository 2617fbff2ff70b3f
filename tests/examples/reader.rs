//! What examples pipe into: checked here, so that no machine needs these programs.

use serde_json::Value;

/// Why the program behind a pipe could not use the text; `None` where it can.
///
/// # Panics
/// At a program that this does not know.
pub fn unreadable(pipe: &str, text: &str) -> Option<String> {
    match pipe.split_once(' ') {
        Some(("jq", path)) => match serde_json::from_str(text) {
            Ok(value) => values(&value, path.trim_matches('\'')).err(),
            Err(error) => Some(format!("no JSON: {error}")),
        },
        Some(("man", "-l -")) => (!text.starts_with(".ie") && !text.contains(".TH scalemark"))
            .then(|| "no page of a manual".to_owned()),
        _ => panic!("the test does not know what `{pipe}` does"),
    }
}

/// The values at a path of jq, of its steps `.name` and `.[]`: there must be one, and none may be null.
fn values<'v>(value: &'v Value, path: &str) -> Result<Vec<&'v Value>, String> {
    let mut found = vec![value];
    let steps = path.replace("[]", ".[]");
    for step in steps.split('.').filter(|step| !step.is_empty()) {
        let mut next = Vec::new();
        for one in found {
            match step {
                "[]" => next.extend(one.as_array().ok_or(format!("`{path}`: {one} is no array"))?),
                name => {
                    let object = one.as_object().ok_or(format!("`{path}`: {name} of no object"))?;
                    next.push(object.get(name).ok_or(format!("`{path}`: no {name}"))?);
                }
            }
        }
        found = next;
    }
    match found.is_empty() || found.iter().any(|value| value.is_null()) {
        true => Err(format!("`{path}` finds nothing")),
        false => Ok(found),
    }
}

#[test]
fn a_path_that_leads_nowhere_is_found_out() {
    let text = r#"[{"case_key": "a", "b": null}]"#;
    assert_eq!(unreadable("jq '.[].case_key'", text), None);
    for path in ["'.[].b'", "'.[].c'", ".case_key", "'.[].case_key.d'"] {
        assert!(unreadable(&format!("jq {path}"), text).is_some(), "{path}");
    }
    assert!(unreadable("jq .a", "{").is_some());
}

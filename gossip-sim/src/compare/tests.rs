use super::*;

const GOOD: &str = r#"[{"scenario":"a","nodes":5,"first_seed":1,"runs":9,"failed":0,"bytes_per_node_s":100,
    "converged_ms":900,"dead_all_ms":{"count":9,"p50":5000,"p99":9000},"false_dead":0}]"#;

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut list: Value = serde_json::from_str(GOOD).unwrap();
    change(&mut list[0]);
    list.to_string()
}

fn compared(old: &str, new: &str) -> Result<Vec<Difference>, CompareError> {
    compare(old, new, Share::new(0.1).unwrap())
}

fn worse(new: &str) -> Vec<String> {
    let differences = compared(GOOD, new).unwrap();
    differences.into_iter().filter(|difference| difference.is_worse).map(|difference| difference.figure).collect()
}

#[test]
fn what_is_worse_by_more_than_is_tolerated_is_found() {
    let new = changed(|report| {
        report["bytes_per_node_s"] = 109.into();
        report["dead_all_ms"]["p50"] = 5_600.into();
        report["dead_all_ms"]["p99"] = 9_800.into();
        report["false_dead"] = 2.into();
    });
    assert_eq!(worse(&new), ["dead_all_ms.p50", "false_dead"]);
    assert!(worse(GOOD).is_empty());
    let better = compared(&new, GOOD).unwrap();
    assert!(better.iter().all(|difference| !difference.is_worse), "better is not worse");
}

#[test]
fn what_is_not_measured_any_more_is_worse() {
    let without = |figure: &str| worse(&changed(|report| _ = report.as_object_mut().unwrap().remove(figure)));
    assert_eq!(without("bytes_per_node_s"), ["bytes_per_node_s"]);
    assert_eq!(without("dead_all_ms"), ["dead_all_ms.p50", "dead_all_ms.p99", "dead_all_ms.count"]);
    assert_eq!(worse(&changed(|report| report["converged_ms"] = Value::Null)), ["converged_ms"]);
    assert_eq!(worse(&changed(|report| report["dead_all_ms"]["count"] = 0.into())), ["dead_all_ms.count"]);
    assert_eq!(worse(&changed(|report| report["runs"] = 8.into())), ["runs"]);
}

#[test]
fn a_new_scenario_that_fails_is_worse_and_one_that_holds_is_not() {
    let both = |failed: u32| {
        let mut list: Value = serde_json::from_str(GOOD).unwrap();
        let new = serde_json::json!({"scenario": "b", "nodes": 5, "runs": 9, "failed": failed});
        list.as_array_mut().unwrap().push(new);
        worse(&list.to_string())
    };
    assert_eq!(both(5), ["failed"]);
    assert!(both(0).is_empty());
}

#[test]
fn a_single_report_can_be_compared_and_failures_count() {
    let old = r#"{"scenario":"a","oracle_failures":[]}"#;
    let new = r#"{"scenario":"a","oracle_failures":[{}]}"#;
    let differences = compared(old, new).unwrap();
    assert!(differences[0].is_worse && differences[0].figure == "oracle_failures");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let refused = |old: &str, new: &str| compared(old, new).unwrap_err().to_string();
    let other = r#"[{"scenario":"b","failed":0}]"#;
    assert_eq!(refused(GOOD, other), "the new report lacks the scenario a");
    assert!(refused("{}", GOOD).starts_with("the old report is not what"));
    assert!(refused("[]", "[]").ends_with("expected at least one report, found none"));
    let text = changed(|report| report["bytes_per_node_s"] = "1e9".into());
    assert!(refused(GOOD, &text).ends_with("a: bytes_per_node_s: expected a number, found \"1e9\""));
    let none = changed(|report| report["runs"] = 0.into());
    assert!(refused(GOOD, &none).ends_with("a: expected at least one run, found none"));
    let twice = format!("[{0},{0}]", &GOOD[1..GOOD.len() - 1]);
    assert!(refused(GOOD, &twice).ends_with("expected the scenario a once, found it twice"));
    let larger = changed(|report| report["nodes"] = 6.into());
    assert!(refused(GOOD, &larger).starts_with("a: nodes is 5 in the old report and 6 in the new one"));
    let run = r#"{"scenario":"a","oracle_failures":[]}"#;
    assert!(refused(GOOD, run).starts_with("a: the kind is a sweep in the old report and a run in the new one"));
    let mute = changed(|report| _ = report.as_object_mut().unwrap().remove("failed"));
    assert!(refused(GOOD, &mute).ends_with("a: expected `failed` or `oracle_failures`, found neither"));
}

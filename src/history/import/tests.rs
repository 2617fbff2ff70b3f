//! What other tools write, shortened.

use proptest::prelude::*;

use super::*;

fn read(format: Format, text: &str) -> Result<Imported> {
    parse(format, text, Path::new("f.json"), None)
}

fn names_and_nanos(imported: &Imported) -> Vec<(String, f64)> {
    let one = |t: &Timed| {
        let case = if t.case.is_empty() { String::new() } else { format!(" {}", t.case) };
        (format!("{}{case}", t.name), (t.nanos * 1e3).round() / 1e3)
    };
    imported.times.iter().map(one).collect()
}

fn is(imported: &Imported, want: &[(&str, f64)]) {
    let want: Vec<(String, f64)> = want.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    assert_eq!(names_and_nanos(imported), want);
}

const ESTIMATES: &str = r#"{"mean":{"confidence_interval":{"confidence_level":0.95,"lower_bound":20.1,"upper_bound":20.9},
    "point_estimate":20.5,"standard_error":0.2},"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":19.9,
    "upper_bound":20.2},"point_estimate":20.0,"standard_error":0.1},"median_abs_dev":null,"slope":null,"std_dev":null}"#;

#[test]
fn a_benchmark_of_criterion_has_its_full_id_or_its_folders_name() {
    let beside = r#"{"group_id":"fib","function_id":"iter","value_str":"20","throughput":null,
        "full_id":"fib/iter/20","directory_name":"fib/iter/20","title":"fib/iter/20"}"#;
    let path = Path::new("target/criterion/a b/c/new/estimates.json");
    is(&parse(Format::Criterion, ESTIMATES, path, Some(beside)).unwrap(), &[("fib/iter/20", 20.0)]);
    is(&parse(Format::Criterion, ESTIMATES, path, None).unwrap(), &[("a b/c", 20.0)]);
    let error = read(Format::Criterion, ESTIMATES).unwrap_err().to_string();
    assert!(error.contains("keep benchmark.json beside it"), "{error}");
}

#[test]
fn commands_of_hyperfine_have_their_parameters_as_case() {
    let text = r#"{"results":[{"command":"sleep 0.02","mean":0.0218,"stddev":0.0003,"median":0.0217,"user":0.0005,"system":0.001,
        "min":0.0211,"max":0.0228,"times":[0.0211,0.0217,0.0228],"exit_codes":[0,0,0],"parameters":{"s":"0.02"}},
        {"command":"true","mean":0.001,"times":[0.0009,0.001,0.0012]}]}"#;
    is(&read(Format::Hyperfine, text).unwrap(), &[("sleep 0.02 s=0.02", 21.7e6), ("true", 1e6)]);
}

#[test]
fn repetitions_of_google_benchmark_are_one_median_and_errors_are_told() {
    let text = r#"{"context":{"date":"2026-01-31T12:00:00+01:00","host_name":"h","num_cpus":2,"library_build_type":"release"},
        "benchmarks":[
        {"name":"BM_A/8","run_name":"BM_A/8","run_type":"iteration","repetitions":3,"repetition_index":0,"threads":1,
         "iterations":100,"real_time":1.0,"cpu_time":0.9,"time_unit":"us"},
        {"name":"BM_A/8","run_name":"BM_A/8","run_type":"iteration","iterations":100,"real_time":3.0,"cpu_time":2.0,"time_unit":"us"},
        {"name":"BM_A/8","run_name":"BM_A/8","run_type":"iteration","iterations":100,"real_time":9.0,"cpu_time":2.0,"time_unit":"us"},
        {"name":"BM_A/8_mean","run_name":"BM_A/8","run_type":"aggregate","aggregate_name":"mean","aggregate_unit":"time","iterations":3,
         "real_time":4.3,"cpu_time":2.0,"time_unit":"us"},
        {"name":"BM_B_median","run_name":"BM_B","run_type":"aggregate","aggregate_name":"median","iterations":3,"real_time":7.0,
         "cpu_time":2.0,"time_unit":"ms"},
        {"name":"BM_C","run_name":"BM_C","run_type":"iteration","error_occurred":true,"error_message":"no file","real_time":0,
         "time_unit":"ns"}]}"#;
    let imported = read(Format::GoogleBenchmark, text).unwrap();
    is(&imported, &[("BM_A/8", 3e3), ("BM_B", 7e6)]);
    assert_eq!(imported.left_out, ["BM_C: no file"]);
    assert_eq!(imported.time.unwrap().to_string(), "2026-01-31T11:00:00Z");
    let odd = r#"{"benchmarks":[{"name":"x","real_time":1.0,"time_unit":"fortnights"}]}"#;
    assert!(read(Format::GoogleBenchmark, odd).unwrap_err().to_string().contains("fortnights"));
}

#[test]
fn states_of_nvbench_have_their_axes_as_case_and_their_card_as_device() {
    let text = r#"{"meta":{"argv":["b"],"version":{"json":{"major":1,"minor":0,"patch":0,"string":"1.0.0"}}},
        "devices":[{"id":0,"name":"A Card","sm_version":900}],
        "benchmarks":[{"name":"copy","index":0,"devices":[0],"axes":[],"states":[
          {"name":"Device=0 T=F32 N=2^20","min_samples":10,"device":0,"type_config_index":0,
           "axis_values":[{"name":"T","type":"string","value":"F32"},{"name":"N","type":"int64","value":"1048576"}],
           "summaries":[{"tag":"nv/cold/sample_size","name":"Samples","data":[{"name":"value","type":"int64","value":"100"}]},
             {"tag":"nv/cold/time/gpu/mean","name":"GPU Time","hint":"duration","data":[{"name":"value","type":"float64","value":"1.25e-05"}]}],
           "is_skipped":false},
          {"name":"Device=0 T=F64","device":0,"axis_values":[{"name":"T","type":"string","value":"F64"}],"summaries":null,
           "is_skipped":true,"skip_reason":"too large"}]}]}"#;
    let imported = read(Format::Nvbench, text).unwrap();
    is(&imported, &[("copy T=F32 N=1048576", 12_500.0)]);
    assert_eq!(imported.times[0].device, "A Card");
    assert_eq!(imported.left_out, ["copy T=F64: too large"]);
}

#[test]
fn tests_of_pytest_benchmark_bring_their_commit_and_time() {
    let text = r#"{"machine_info":{"node":"h"},"commit_info":{"id":"1f0c9ab1f0c9ab1f0c9ab1f0c9ab1f0c9ab1f0c9","dirty":false},
        "benchmarks":[{"group":null,"name":"test_a[1]","fullname":"tests/test_a.py::test_a[1]","params":{"n":1},"param":"1",
          "extra_info":{},"stats":{"min":0.001,"max":0.003,"mean":0.002,"median":0.0015,"stddev":0.0001,"rounds":10}}],
        "datetime":"2026-01-31T12:00:00.123456","version":"5.1.0"}"#;
    let imported = read(Format::PytestBenchmark, text).unwrap();
    is(&imported, &[("tests/test_a.py::test_a[1]", 1.5e6)]);
    assert_eq!(imported.time.unwrap().to_string(), "2026-01-31T12:00:00.123456Z");
    assert!(imported.commit.unwrap().starts_with("1f0c9ab"));
}

#[test]
fn another_tools_file_or_an_impossible_time_is_an_error_with_its_line() {
    for format in <Format as clap::ValueEnum>::value_variants() {
        let error = read(*format, "{\n\"other\": 1}").unwrap_err().to_string();
        assert!(error.starts_with("f.json:2: not "), "{format:?}: {error}");
        assert!(read(*format, "").is_err());
    }
    let text = r#"{"results":[{"command":"x","mean":0.0}]}"#;
    assert!(read(Format::Hyperfine, text).unwrap_err().to_string().contains("0 ns is no time"));
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_crash(text in "\\PC{0,200}", which in 0..5usize) {
        let format = <Format as clap::ValueEnum>::value_variants()[which];
        let _ = read(format, &text);
    }

    #[test]
    fn no_cut_file_is_read_as_if_it_were_whole(cut in 0..600usize) {
        let text = r#"{"results":[{"command":"a","mean":0.5},{"command":"b","mean":0.25}]}"#;
        let cut = cut % text.len();
        prop_assert!(read(Format::Hyperfine, &text[..cut]).is_err());
    }
}

//! Measuring against the fake driver, whose times are known.

use super::*;
use crate::device::Device;
use crate::device::cuda::fake::{Conditions, FakeDriver};
use crate::kernels::Registry;
use crate::kernels::cuda::Architecture;
use crate::nvrtc::Compiler;
use crate::ops::{Precision, Probe, ProbeKind, Problem};

fn device(conditions: &str) -> Device {
    let conditions = Conditions::parse(conditions).unwrap();
    let driver = FakeDriver::under(Architecture::plain(80), conditions).unwrap();
    Device::Gpu(GpuDevice::on(&driver, 0, Compiler::find(None).unwrap()).unwrap())
}

fn gpu(device: &Device) -> &GpuDevice {
    match device {
        Device::Gpu(gpu) => gpu,
        other => panic!("made as a GPU: {}", other.name()),
    }
}

fn copy(bytes: usize) -> Case {
    Case::new(Problem::Peak(Probe { kind: ProbeKind::Copy, size: bytes }), Precision::F32)
}

/// Two samples of a probe, each of so many launches or a few more.
fn visit(device: &Device, case: &Case, iterations: u64) -> Visit {
    let kernel = Registry::cuda().get("peak/streams").unwrap();
    let bench = Bench::new(gpu(device)).unwrap();
    let mut prepared = kernel.prepare(device, case, &case.inputs(1)).unwrap();
    let (mut slot, mut kept) = (0, Kept::default());
    let launch = bench.rough(&mut *prepared, &mut slot).unwrap();
    bench.take(case, &mut *prepared, &mut slot, &mut kept, launch, (iterations, 2)).unwrap()
}

#[test]
fn the_hosts_pace_is_in_a_time_unless_the_stream_is_blocked_meanwhile() {
    let device = device("");
    let watch = Stopwatch::new(gpu(&device)).unwrap();
    let mut empty = || watch.launch(watch.probes.empty, &[]);
    let blocked = watch.blocked(Start::AsIs, &mut empty).unwrap().ns;
    let running = watch.running(&mut empty).unwrap().ns;
    assert!((blocked - 2000.0).abs() < 50.0, "{blocked}");
    assert!(running > 2.0 * blocked, "{running} against {blocked}");
}

#[test]
fn a_sample_whose_launch_is_refused_leaves_the_stream_unblocked() {
    let device = device("");
    let watch = Stopwatch::new(gpu(&device)).unwrap();
    let mut refuse = || Err(Error::Usage("no".into()));
    assert!(watch.blocked(Start::AsIs, &mut refuse).is_err());
    let mut empty = || watch.launch(watch.probes.empty, &[]);
    assert!(watch.blocked(Start::AsIs, &mut empty).unwrap().ns < 3000.0);
}

#[test]
fn a_cold_sample_is_one_launch_and_slower_than_a_warm_one() {
    let device = device("");
    let warm = copy(1 << 20);
    let cold = Case { cache: Cache::Cold, ..warm };
    let of = |case| visit(&device, case, 3).samples;
    let (warm, cold) = (of(&warm), of(&cold));
    assert!(cold.iter().all(|s| s.iterations == 1) && warm.iter().all(|s| s.iterations == 3));
    let (warm, cold) = (warm[0].launch_ns(), cold[0].launch_ns());
    assert!(cold > 1.4 * warm, "{cold} against {warm}");
}

#[test]
fn short_kernels_are_replayed_as_a_graph_and_long_ones_are_not() {
    let device = device("");
    let short = visit(&device, &copy(4096), 100).samples[0];
    assert_eq!(short.iterations, 128, "two graphs of 64");
    assert!(short.launch_ns() < 1900.0, "a launch of its own takes 2000 ns: {short:?}");
    let long = visit(&device, &copy(1 << 20), 100).samples[0];
    assert_eq!(long.iterations, 100);
}

#[test]
fn a_sample_tells_clock_power_temperature_and_what_slows_it() {
    for (conditions, mhz, celsius, reasons) in
        [("", 1410.0, 61, "none"), ("throttle=power+thermal@1", 705.0, 88, "power+thermal")]
    {
        let sample = visit(&device(conditions), &copy(1 << 20), 1).samples[0];
        let told = sample.gpu.unwrap();
        assert_eq!(told.sm_mhz.map(f64::round), Some(mhz));
        assert_eq!(told.temperature_c, Some(celsius));
        assert!(told.power_mw.is_some());
        assert_eq!(told.throttle.map(|t| t.to_string()).as_deref(), Some(reasons));
        assert_eq!(sample.is_slowed(), reasons != "none");
    }
}

#[test]
fn energy_of_a_launch_is_power_times_time_and_refused_where_it_is_not_counted() {
    let case = Case { regime: Regime::Sustained, ..copy(4 << 20) };
    for (conditions, counts) in [("", true), ("no-energy", false)] {
        let device = device(conditions);
        let bench = Bench::new(gpu(&device)).unwrap();
        let kernel = Registry::cuda().get("peak/streams").unwrap();
        let mut prepared = kernel.prepare(&device, &case, &case.inputs(1)).unwrap();
        let (mut slot, mut kept) = (0, Kept::default());
        let launch = bench.rough(&mut *prepared, &mut slot).unwrap();
        let take = |prepared: &mut dyn Prepared, slot: &mut usize, kept: &mut Kept| {
            bench.take(&case, prepared, slot, kept, launch, (1, 1)).unwrap()
        };
        let visit = take(&mut *prepared, &mut slot, &mut kept);
        assert!(slot > 1000, "a thousand launches settle it: {slot}");
        if counts {
            // 70 W for some half a millisecond.
            let expected = 70e3 * visit.samples[0].launch_ns() / 1e9;
            let energy = visit.energy_mj.unwrap();
            assert!((energy / expected - 1.0).abs() < 0.1, "{energy} against {expected}");
        } else {
            assert_eq!(visit.energy_mj, None);
            assert!(visit.energy_refused.unwrap().contains("does not count"));
        }
        let again = take(&mut *prepared, &mut slot, &mut kept);
        assert_eq!((again.energy_mj, again.energy_refused), (None, None), "once a process");
    }
}

#[test]
fn a_calibration_that_is_off_says_which_part() {
    for (conditions, part) in [
        ("", None),
        ("skew=cold", Some("flushing gets into the times")),
        ("skew=spin", Some("disagree")),
        ("skew=copy", Some("that memory promises")),
    ] {
        let device = device(conditions);
        let found = Bench::new(gpu(&device)).unwrap().calibrate().unwrap();
        match part {
            None => assert_eq!(found.unfit, Vec::<String>::new()),
            Some(part) => assert!(found.unfit.len() == 1 && found.unfit[0].contains(part)),
        }
    }
}

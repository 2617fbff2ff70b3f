//! What tests of several families share.

use scalemark::check::check;
use scalemark::device::{Device, SimDevice};
use scalemark::kernels::Registry;
use scalemark::nvrtc::Compiler;
use scalemark::ops::Case;

/// Runs `kernel` for `architecture` on every case, which it must take, with each seed; fails at a finding or a wrong
/// entry. Counters of the last.
pub fn right(
    kernel: &str,
    architecture: &str,
    cases: &[Case],
    seeds: &[u64],
) -> Vec<(String, f64)> {
    let row = Registry::cuda().get(kernel).unwrap();
    let compiler = Compiler::find(None).unwrap();
    let mut sim = SimDevice::new(architecture.parse().unwrap(), compiler).unwrap();
    let mut counters = Vec::new();
    for case in cases {
        assert_eq!((row.as_cuda().unwrap().refuses)(case), None, "{kernel} on {case}");
        let inputs = case.inputs(7);
        let expected = case.expected(&inputs, 1);
        for &seed in seeds {
            sim.options.seed = seed;
            let device = Device::Sim(sim);
            let mut ready = row.prepare(&device, case, &inputs).unwrap();
            let launched = ready.launch(0);
            launched.unwrap_or_else(|e| panic!("{kernel} on {case}, seed {seed}: {e}"));
            let checked = check(case, &inputs, &expected, &ready.outputs().unwrap());
            assert_eq!(checked.wrong, None, "{kernel} on {case}, seed {seed}");
            counters = ready.counters().unwrap();
            drop(ready);
            let Device::Sim(back) = device else { unreachable!("made above") };
            sim = back;
        }
    }
    counters
}

//! Hardware counters by CUPTI's range profiler: each kernel is a range, and is executed as often as its counters need.
//!
//! The order of calls is that of CUPTI's documentation ("GPU Performance Profiling using Range Profiler API"): profiler, chip,
//! context; what to count, and how often a kernel must run for it; room for the counts; launch between start and stop; decode.

use std::ffi::{CString, c_char};
use std::ptr::null_mut;

use super::library::{Ranges, Status, Table};
use super::parameters as p;
use super::{Counted, MOST_COUNTED};
use crate::device::cuda::driver::Handle;
use crate::error::{Error, Result};

/// The profiler while it is on a context.
struct On<'t> {
    table: &'t Table,
    calls: &'t Ranges,
    /// The profiler on this context; null until it is enabled.
    ranges: p::Pointer,
    /// What knows the chip's metrics; null until it is made.
    host: p::Pointer,
}

impl Drop for On<'_> {
    fn drop(&mut self) {
        // SAFETY: each was made once, or is null where making it failed.
        unsafe {
            if !self.host.is_null() {
                let mut end = p::EndHost { host: self.host, ..Default::default() };
                (self.calls.end_host)(&mut end);
            }
            if !self.ranges.is_null() {
                let mut off = p::OfRanges { ranges: self.ranges, ..Default::default() };
                (self.calls.disable)(&mut off);
            }
            (self.calls.end)(&mut p::Start::default());
        }
    }
}

impl On<'_> {
    /// Calls a function with its parameters, which it may fill.
    ///
    /// # Safety
    /// What the parameters point to is as long as they say, and lives until the end of the call or as long as CUPTI documents.
    unsafe fn ask<P>(
        &self,
        function: unsafe extern "C" fn(*mut P) -> Status,
        what: &str,
        mut parameters: P,
    ) -> Result<P> {
        // SAFETY: parameters that begin with their size, in room of their own; the caller answers for what they point to.
        let status = unsafe { function(&mut parameters) };
        self.table.check(status, what).map(|()| parameters)
    }
}

/// As [`super::Profiler::count`]; the context is current on this thread, and `launch` waits for what it launched.
pub fn count(
    table: &Table,
    (context, device): (Handle, usize),
    metrics: &[&str],
    launch: &mut dyn FnMut() -> Result<()>,
) -> Result<Counted> {
    let calls = table.ranges()?;
    // Until the profiler is off: what is made first is dropped last.
    let (mut config, mut data, names): (Vec<u8>, Vec<u8>, Vec<(usize, CString)>);
    // SAFETY: parameters of their own.
    table.check(unsafe { (calls.start)(&mut p::Start::default()) }, "start its profiler")?;
    let mut on = On { table, calls, ranges: null_mut(), host: null_mut() };
    // SAFETY: handles are CUPTI's own, and so is the chip's name; the context lives and is current.
    unsafe {
        let chip = p::ChipName { device, ..Default::default() };
        let chip = on.ask(calls.chip, "name the chip", chip)?.name;
        let enable = p::Enable { context: context.0 as p::Pointer, ..Default::default() };
        on.ranges = on.ask(calls.enable, "count on this GPU", enable)?.ranges;
        let host = p::Host { profiler: p::RANGE_PROFILER, chip, ..Default::default() };
        on.host = on.ask(calls.host, "find the metrics of the chip", host)?.host;
    }
    names = known(&on, metrics)?;
    let pointers: Vec<_> = names.iter().map(|(_, name)| name.as_ptr()).collect();
    let passes;
    (config, passes) = configure(&on, &pointers)?;
    data = room(&on, &pointers)?;
    let ranges = on.ranges;
    let set = p::SetConfig {
        ranges,
        config_bytes: config.len(),
        config: config.as_mut_ptr(),
        data_bytes: data.len(),
        data: data.as_mut_ptr(),
        range: p::AUTO_RANGE,
        replay: p::KERNEL_REPLAY,
        most_ranges: MOST_COUNTED,
        nesting_levels: 1,
        least_nesting: 1,
        ..Default::default()
    };
    // SAFETY: both buffers are as long as said, and live until the profiler is off.
    unsafe {
        on.ask(calls.set, "set up its counters", set)?;
        on.ask(calls.begin, "begin to count", p::OfRanges { ranges, ..Default::default() })?;
    }
    let launched = launch();
    // SAFETY: begun just above.
    let stopped =
        unsafe { on.ask(calls.stop, "stop counting", p::Stop { ranges, ..Default::default() }) };
    launched?;
    stopped?;
    // SAFETY: fills the counts that were set up.
    let decoded = unsafe {
        on.ask(calls.decode, "decode its counters", p::Decode { ranges, ..Default::default() })?
    };
    if decoded.dropped > 0 {
        return Err(Error::Refused(format!(
            "a launch of more than {MOST_COUNTED} kernels is not counted"
        )));
    }
    let kernels = evaluate(&on, &data, &pointers)?;
    // In the places of those that were asked for.
    let spread = |values: Vec<f64>| {
        let mut all = vec![None; metrics.len()];
        for ((place, _), value) in names.iter().zip(values) {
            all[*place] = Some(value).filter(|value| value.is_finite());
        }
        all
    };
    Ok(Counted { passes, kernels: kernels.into_iter().map(spread).collect() })
}

/// Those metrics that the chip has, by their place among those that were asked for.
fn known(on: &On<'_>, metrics: &[&str]) -> Result<Vec<(usize, CString)>> {
    let mut known = Vec::new();
    for (place, metric) in metrics.iter().enumerate() {
        let text =
            CString::new(*metric).map_err(|_| Error::Usage("there is a NUL in a metric".into()))?;
        let name = text.as_ptr();
        let mut ask = p::MetricProperties { host: on.host, name, ..Default::default() };
        // SAFETY: a handle of CUPTI's, and a text that ends in NUL.
        if unsafe { (on.calls.metric)(&mut ask) } == 0 {
            known.push((place, text));
        }
    }
    match known.is_empty() {
        true => Err(Error::Refused("this GPU has none of the counters that are known here".into())),
        false => Ok(known),
    }
}

/// How the counters are taken, and in how many passes.
fn configure(on: &On<'_>, names: &[*const c_char]) -> Result<(Vec<u8>, usize)> {
    let (calls, host) = (on.calls, on.host);
    // SAFETY: as many texts as said, each ending in NUL; buffers as long as said.
    unsafe {
        let add =
            p::AddMetrics { host, names: names.as_ptr(), count: names.len(), ..Default::default() };
        on.ask(calls.add, "take the metrics", add)?;
        let size = p::ConfigSize { host, ..Default::default() };
        let bytes = on.ask(calls.config_size, "schedule its counters", size)?.bytes;
        let mut config = vec![0u8; bytes];
        let fill = p::Config { host, bytes, config: config.as_mut_ptr(), ..Default::default() };
        on.ask(calls.config, "schedule its counters", fill)?;
        let passes = p::Passes { bytes, config: config.as_mut_ptr(), ..Default::default() };
        let passes = on.ask(calls.passes, "tell how often a kernel is to run", passes)?.passes;
        Ok((config, passes))
    }
}

/// Room for the counts.
fn room(on: &On<'_>, names: &[*const c_char]) -> Result<Vec<u8>> {
    let (calls, ranges) = (on.calls, on.ranges);
    // SAFETY: as above.
    unsafe {
        let size = p::DataSize {
            ranges,
            names: names.as_ptr(),
            count: names.len(),
            most_ranges: MOST_COUNTED,
            most_nodes: MOST_COUNTED as u32,
            ..Default::default()
        };
        let bytes = on.ask(calls.data_size, "tell the size of its counts", size)?.bytes;
        let mut data = vec![0u8; bytes];
        let fill = p::Data { ranges, bytes, data: data.as_mut_ptr(), ..Default::default() };
        on.ask(calls.data, "make room for its counts", fill)?;
        Ok(data)
    }
}

/// The values of each range, in order.
fn evaluate(on: &On<'_>, data: &[u8], names: &[*const c_char]) -> Result<Vec<Vec<f64>>> {
    let info = p::DataInfo { data: data.as_ptr(), bytes: data.len(), ..Default::default() };
    // SAFETY: decoded counts, as long as said.
    let found = unsafe { on.ask(on.calls.data_info, "tell how many kernels it counted", info)? };
    let one = |range| {
        // What is not written is no number, and is left out.
        let mut values = vec![f64::NAN; names.len()];
        let ask = p::Evaluate {
            host: on.host,
            data: data.as_ptr(),
            data_bytes: data.len(),
            range,
            names: names.as_ptr(),
            count: names.len(),
            values: values.as_mut_ptr(),
            ..Default::default()
        };
        // SAFETY: as above, and a number for each name.
        unsafe { on.ask(on.calls.evaluate, "evaluate its counters", ask)? };
        Ok(values)
    };
    (0..found.ranges.min(MOST_COUNTED)).map(one).collect()
}

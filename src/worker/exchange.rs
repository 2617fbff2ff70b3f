//! Tensors between a run and external programs: files in memory, and the check of what comes back.
//!
//! An external program is believed in nothing but its clock: operands are made here, results are read and checked here.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::protocol::{Exchange, Placed, Reply, Shared};
use crate::check;
use crate::device::Capabilities;
use crate::error::{Error, Result};
use crate::ops::{Case, Expected, Hyper, Inputs, Problem, Tensor, TensorSpec};

/// Where tensors start in a file: what vector loads and the checks of other programs want.
const ALIGNMENT: u64 = 64;

/// A folder for what workers share: in memory where the system has such a place.
///
/// # Errors
/// When no temporary folder can be made.
pub fn scratch() -> Result<tempfile::TempDir> {
    let shm = Path::new("/dev/shm");
    let made = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir())
        .map_err(Error::io("create a temporary folder in", std::env::temp_dir()))
}

/// The files that lie ready for external programs: the operands of one case at a time, with the answer to them.
pub(super) struct Handover {
    folder: tempfile::TempDir,
    capabilities: Capabilities,
    seed: u64,
    laid: Option<Laid>,
}

/// One case, laid out for others.
struct Laid {
    case: Case,
    inputs: Inputs,
    expected: Expected,
}

impl Handover {
    pub(super) fn new(capabilities: Capabilities, seed: u64) -> Result<Self> {
        Ok(Handover { folder: scratch()?, capabilities, seed, laid: None })
    }

    /// Lays out the operands of a case, once; `expected` is a file with the answer where somebody has worked it out.
    pub(super) fn lay_operands(&mut self, case: &Case, expected: Option<&Path>) -> Result<Shared> {
        if let Some(laid) = self.laid.as_ref().filter(|laid| laid.case == *case) {
            let specs = laid.inputs.tensors.iter().map(|t| t.spec.clone());
            return Ok(self.shared("operands", &specs.collect::<Vec<_>>()));
        }
        self.laid = None;
        let inputs = case.inputs(self.seed);
        let expected = match expected {
            Some(path) => check::load_expected(path)?,
            None => case.expected(&inputs, self.capabilities.threads),
        };
        let specs: Vec<TensorSpec> = inputs.tensors.iter().map(|t| t.spec.clone()).collect();
        let operands = self.shared("operands", &specs);
        write(&operands, inputs.tensors.iter())?;
        self.laid = Some(Laid { case: *case, inputs, expected });
        Ok(operands)
    }

    /// Lays out operands and poisoned results of a case.
    pub(super) fn lay(&mut self, case: &Case, expected: Option<&Path>) -> Result<Exchange> {
        let operands = self.lay_operands(case, expected)?;
        let results = self.shared("results", &written(case));
        let poisoned: Vec<Tensor> = written(case).into_iter().map(Tensor::poisoned).collect();
        write(&results, poisoned.iter())?;
        let hyper = match case.problem {
            Problem::Update(update) => Some(Hyper::of(update.rule)),
            _ => None,
        };
        let slots = self.capabilities.buffer_sets(case);
        Ok(Exchange { operands, results, slots, hyper })
    }

    /// What a program's [`Reply::Ready`] comes to once its results are checked.
    pub(super) fn judge(&self, asked: &Exchange, ready: Reply) -> Reply {
        let Reply::Ready {
            launch_ns,
            allocated,
            slots,
            results,
            counters,
            most_iterations,
            driven,
        } = ready
        else {
            return ready;
        };
        let wrong = |reason: String| Reply::Wrong { reason, check: None };
        if !(launch_ns > 0.0 && launch_ns.is_finite()) {
            let reason = format!("the worker says that a launch takes {launch_ns} ns");
            return Reply::Failed { reason };
        }
        if let Some(reason) = unlike(&asked.results.tensors, &results) {
            return wrong(reason);
        }
        let laid = self.laid.as_ref().expect("results come after operands");
        let tensors = match read(&asked.results, &written(&laid.case)) {
            Ok(tensors) => tensors,
            Err(error) => return wrong(format!("the results cannot be read: {error}")),
        };
        let checked = check::check(&laid.case, &laid.inputs, &laid.expected, &tensors);
        match checked.wrong {
            Some(reason) => Reply::Wrong { reason, check: Some(checked.check) },
            None => {
                let check = checked.check;
                Reply::Prepared {
                    check,
                    launch_ns,
                    allocated,
                    slots: slots.max(1),
                    counters,
                    most_iterations,
                    driven,
                }
            }
        }
    }

    /// Gives the memory back: no program holds anything of a case any more.
    pub(super) fn clear(&mut self) {
        self.laid = None;
        for name in ["operands", "results"] {
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
    }

    fn shared(&self, name: &str, specs: &[TensorSpec]) -> Shared {
        let path = self.folder.path().join(name).to_string_lossy().into_owned();
        Shared { path, tensors: place(specs) }
    }
}

/// What a launch of a case writes: operands updated in place, then results.
fn written(case: &Case) -> Vec<TensorSpec> {
    case.operands().into_iter().filter(|spec| spec.in_out).chain(case.results()).collect()
}

/// Tensors one after another in a file.
fn place(specs: &[TensorSpec]) -> Vec<Placed> {
    let mut offset = 0;
    let mut next = |spec: &TensorSpec| {
        let TensorSpec { role, dtype, shape, in_out } = spec.clone();
        let placed = Placed { role, dtype, shape, in_out, offset };
        offset = (offset + spec.bytes().0).next_multiple_of(ALIGNMENT);
        placed
    };
    specs.iter().map(&mut next).collect()
}

fn write<'t>(shared: &Shared, tensors: impl Iterator<Item = &'t Tensor>) -> Result<()> {
    let path = PathBuf::from(&shared.path);
    // A new file each time: what an earlier program still maps is not this one's.
    let _ = std::fs::remove_file(&path);
    let put = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let mut at = 0;
        for (placed, tensor) in shared.tensors.iter().zip(tensors) {
            out.write_all(&vec![0; (placed.offset - at) as usize])?;
            out.write_all(&tensor.bytes)?;
            at = placed.offset + tensor.spec.bytes().0;
        }
        out.flush()
    };
    put().map_err(Error::io("write", &path))
}

/// Reads what a program left; by reading and not by mapping, so that a file which it cut short is an error and no signal.
fn read(shared: &Shared, specs: &[TensorSpec]) -> Result<Vec<Tensor>> {
    let path = Path::new(&shared.path);
    let get = || -> std::io::Result<Vec<Tensor>> {
        let mut file = File::open(path)?;
        let mut tensors = Vec::new();
        for (placed, spec) in shared.tensors.iter().zip(specs) {
            let mut tensor = Tensor::zeroed(spec.clone());
            file.seek(SeekFrom::Start(placed.offset))?;
            file.read_exact(&mut tensor.bytes)?;
            tensors.push(tensor);
        }
        Ok(tensors)
    };
    get().map_err(Error::io("read", path))
}

/// How what a program says that it wrote differs from what it was asked for.
fn unlike(asked: &[Placed], said: &[Placed]) -> Option<String> {
    for want in asked {
        let role = want.role;
        let Some(got) = said.iter().find(|placed| placed.role == role) else {
            return Some(format!("the worker says nothing of {role:?}"));
        };
        if (got.dtype, &got.shape) != (want.dtype, &want.shape) {
            return Some(format!(
                "the worker says that {role:?} is {} {:?}, not {} {:?}",
                got.dtype, got.shape, want.dtype, want.shape
            ));
        }
    }
    (said.len() != asked.len()).then(|| {
        format!("the worker says that it wrote {} results, not {}", said.len(), asked.len())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::device::Isa;
    use crate::ops::{Matmul, Precision, Role, Rule, Update};
    use crate::units::Bytes;

    fn handover() -> Handover {
        let (memory, last_level_cache) = (Bytes(1 << 34), Bytes(32 << 20));
        let isa = Isa::PORTABLE;
        Handover::new(Capabilities { isa, threads: 1, memory, last_level_cache, gpu: None }, 3)
            .unwrap()
    }

    fn case() -> Case {
        Case::new(Problem::Matmul(Matmul::new(3, 5, 7)), Precision::F32)
    }

    fn ready(results: Vec<Placed>) -> Reply {
        Reply::Ready {
            launch_ns: 5.0,
            allocated: 9,
            slots: 1,
            results,
            counters: BTreeMap::new(),
            most_iterations: None,
            driven: None,
        }
    }

    /// The verdict on an answer of these numbers.
    fn verdict(exchange: &Exchange, handover: &Handover, values: &[f32]) -> Reply {
        std::fs::write(&exchange.results.path, bytemuck::cast_slice(values)).unwrap();
        handover.judge(exchange, ready(exchange.results.tensors.clone()))
    }

    #[test]
    fn operands_lie_aligned_in_the_file_as_they_were_made() {
        let mut handover = handover();
        let exchange = handover.lay(&case(), None).unwrap();
        let bytes = std::fs::read(&exchange.operands.path).unwrap();
        for (placed, tensor) in
            exchange.operands.tensors.iter().zip(case().inputs(3).tensors.iter())
        {
            assert_eq!(placed.offset % ALIGNMENT, 0);
            let start = placed.offset as usize;
            assert_eq!(bytes[start..start + tensor.bytes.len()], tensor.bytes[..]);
        }
        handover.clear();
        assert!(!Path::new(&exchange.operands.path).exists());
    }

    #[test]
    fn right_results_are_prepared_and_others_wrong() {
        let mut handover = handover();
        let exchange = handover.lay(&case(), None).unwrap();
        let expected = case().expected(&case().inputs(3), 1);
        let mut values: Vec<f32> = expected.parts[0].values.iter().map(|&x| x as f32).collect();
        assert!(matches!(verdict(&exchange, &handover, &values), Reply::Prepared { .. }));
        values[4] += 1.0;
        assert!(matches!(verdict(&exchange, &handover, &values), Reply::Wrong { .. }));
    }

    #[test]
    fn a_program_that_writes_nothing_is_wrong() {
        let mut handover = handover();
        let exchange = handover.lay(&case(), None).unwrap();
        let reply = handover.judge(&exchange, ready(exchange.results.tensors.clone()));
        let Reply::Wrong { reason, .. } = reply else { panic!("{reply:?}") };
        assert!(reason.contains("NaN"), "{reason}");
    }

    #[test]
    fn a_file_that_was_cut_short_is_wrong() {
        let mut handover = handover();
        let exchange = handover.lay(&case(), None).unwrap();
        let reply = verdict(&exchange, &handover, &[1.0; 3]);
        let Reply::Wrong { reason, .. } = reply else { panic!("{reply:?}") };
        assert!(reason.contains("cannot be read"), "{reason}");
    }

    #[test]
    fn another_shape_dtype_or_role_than_asked_for_is_named() {
        let mut handover = handover();
        let exchange = handover.lay(&case(), None).unwrap();
        let c = exchange.results.tensors[0].clone();
        let lies = [
            (vec![Placed { shape: vec![1, 5, 3], ..c.clone() }], "[1, 5, 3], not f32 [1, 3, 5]"),
            (vec![Placed { dtype: crate::ops::DType::Bf16, ..c.clone() }], "C is bf16"),
            (vec![Placed { role: Role::Out, ..c.clone() }], "nothing of C"),
            (vec![c.clone(), c], "2 results, not 1"),
        ];
        for (results, says) in lies {
            let reply = handover.judge(&exchange, ready(results));
            let Reply::Wrong { reason, .. } = reply else { panic!("{reply:?}") };
            assert!(reason.contains(says), "{reason}");
        }
    }

    #[test]
    fn an_update_comes_with_its_constants_and_everything_that_it_writes() {
        let update = Update { rule: Rule::Adamw, params: 33 };
        let precision = Rule::Adamw.precision(Precision::F32);
        let exchange =
            handover().lay(&Case::new(Problem::Update(update), precision), None).unwrap();
        assert_eq!(exchange.hyper, Some(Hyper::of(Rule::Adamw)));
        let roles: Vec<Role> = exchange.results.tensors.iter().map(|t| t.role).collect();
        assert_eq!(roles, [Role::Params, Role::Moment1, Role::Moment2]);
        assert!(exchange.operands.tensors[1].in_out && !exchange.operands.tensors[0].in_out);
    }
}

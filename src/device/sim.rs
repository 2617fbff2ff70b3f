//! The PTX simulator as a device: CUDA kernels verified and counted without a GPU.
//!
//! A launch runs every step of a row's plan with all checks on. Results begin as memory that nobody wrote, so that a kernel
//! which reads them, or leaves a part of them out, is found; writes outside the buffers that the plan declares are findings too.

use std::borrow::Cow;
use std::fmt::Write;

use ptxsim::conformance::Map;
use ptxsim::occupancy::{Footprint, occupancy};
use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::{Argument, Counted, Finding, Launch, Memory, Module, Options, Pointer, tensor};

use super::Capabilities;
use super::cpu::detect_capabilities;
use crate::error::{Error, Result};
use crate::kernels::cuda::plan::Word;
use crate::kernels::cuda::{
    Architecture, Buffer, CudaKernel, Init, MapType, Plan, Scalar, Step, Swizzle, TensorMap,
};
use crate::kernels::{Counters, Prepared};
use crate::nvrtc::{Built, Compiler, Resources};
use crate::ops::{Case, Inputs, Tensor, TensorSpec};
use crate::units::Bytes;

/// Counters of what a kernel's compilation takes, each behind the name of its entry and a dot; `results/README.md` defines them.
pub const RESOURCES: [&str; 5] =
    ["registers", "shared_bytes", "spill_bytes", "resident_blocks", "occupancy"];

/// The simulator, compiling for one architecture.
#[derive(Debug)]
pub struct SimDevice {
    /// What the host can do: memory bounds what can be simulated.
    pub capabilities: Capabilities,
    /// What sources are compiled for.
    pub architecture: Architecture,
    /// Compiles them.
    pub compiler: Compiler,
    /// How launches execute.
    pub options: Options,
}

impl SimDevice {
    /// A simulator of `architecture`.
    ///
    /// # Errors
    /// Where there is no NVRTC, or one that does not know the architecture.
    pub fn new(architecture: Architecture, compiler: Compiler) -> Result<Self> {
        if let Some(reason) = compiler.refuses(&architecture.to_string()) {
            return Err(Error::Usage(reason));
        }
        let options = Options::default();
        Ok(SimDevice { capabilities: detect_capabilities(), architecture, compiler, options })
    }

    /// Why `row` cannot do `case` here, if so.
    pub fn refuses(&self, row: &CudaKernel, case: &Case) -> Option<Cow<'static, str>> {
        row.refuses_on(self.architecture, case)
    }

    /// Compiles a row for a case, and puts its operands into the simulated memory.
    pub fn prepare<'d>(
        &'d self,
        row: &CudaKernel,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>> {
        Ok(Box::new(self.ready(row, case, inputs)?))
    }

    /// One launch, its prologue left out, by instruction; and the PTX that they are of.
    ///
    /// # Errors
    /// As those of preparing and launching.
    pub fn profile(
        &self,
        row: &CudaKernel,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<(Vec<Counted>, String)> {
        let mut ready = self.ready(row, case, inputs)?;
        for step in ready.plan.prologue.clone() {
            ready.run(&step, &self.options)?;
        }
        let options = Options { lines: true, ..self.options.clone() };
        let mut counted = Vec::new();
        for step in ready.plan.steps.clone() {
            counted.extend(ready.run(&step, &options)?.instructions);
        }
        Ok((counted, ready.built.ptx))
    }

    fn ready<'d>(
        &'d self,
        row: &CudaKernel,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<SimPrepared<'d>> {
        if let Some(reason) = self.refuses(row, case) {
            return Err(Error::Usage(format!("{} refuses {case}: {reason}", row.id)));
        }
        let plan = (row.plan)(case, self.architecture);
        let architecture = self.architecture.to_string();
        let built = self.compiler.compile(&row.source(), &architecture, &plan.defines)?;
        let module = Module::parse(&built.ptx).map_err(simulator(row.id))?;
        let mut prepared = SimPrepared {
            id: row.id,
            device: self,
            plan,
            module,
            built,
            inputs: inputs.clone(),
            results: case.results(),
            allocated: case.buffer_bytes(),
            memory: Memory::new(),
            pointers: Pointers::default(),
            begun: false,
            counters: Counters::new(),
        };
        prepared.allocated = prepared.allocated + Bytes(prepared.plan.workspace_bytes());
        prepared.fill()?;
        Ok(prepared)
    }
}

fn simulator(id: &str) -> impl Fn(ptxsim::Error) -> Error {
    let id = id.to_owned();
    move |error| match error {
        ptxsim::Error::Finding(finding) => Error::Finding(finding.to_string()),
        other => Error::Worker(format!("the simulator cannot run {id}: {other}")),
    }
}

/// Addresses of the buffers.
#[derive(Debug, Default)]
struct Pointers {
    read: Vec<Pointer>,
    written: Vec<Pointer>,
    workspace: Vec<Pointer>,
}

impl Pointers {
    fn of(&self, buffer: Buffer) -> Pointer {
        match buffer {
            Buffer::Read(i) => self.read[i],
            Buffer::Written(i) => self.written[i],
            Buffer::Workspace(i) => self.workspace[i],
        }
    }
}

struct SimPrepared<'d> {
    id: &'static str,
    device: &'d SimDevice,
    plan: Plan,
    module: Module,
    built: Built,
    inputs: Inputs,
    results: Vec<TensorSpec>,
    allocated: Bytes,
    memory: Memory,
    pointers: Pointers,
    /// Whether the prologue ran on these buffers.
    begun: bool,
    counters: Counters,
}

impl SimPrepared<'_> {
    /// Runs one launch.
    ///
    /// # Errors
    /// A finding, or an instruction that is not executed.
    fn run(&mut self, step: &Step, options: &Options) -> Result<ptxsim::Report> {
        let launch = self.launch_of(step)?;
        let report = ptxsim::run(&self.module, &launch, &mut self.memory, options)
            .map_err(simulator(self.id))?;
        if report.findings.is_empty() {
            return Ok(report);
        }
        Err(Error::Finding(describe(&report.findings)))
    }

    /// Allocates every buffer anew: operands with their values, results as nobody wrote them.
    fn fill(&mut self) -> Result<()> {
        let failed = simulator(self.id);
        let mut memory = Memory::new();
        let mut pointers = Pointers::default();
        for tensor in self.inputs.tensors.iter() {
            let name = format!("{:?}", tensor.spec.role).to_lowercase();
            let pointer = memory.allocate(&name, tensor.spec.bytes().0).map_err(&failed)?;
            memory
                .write(pointer, &tensor.bytes[..tensor.spec.bytes().0 as usize])
                .map_err(&failed)?;
            if tensor.spec.in_out { &mut pointers.written } else { &mut pointers.read }
                .push(pointer);
        }
        for spec in &self.results {
            let name = format!("{:?} (result)", spec.role).to_lowercase();
            pointers.written.push(memory.allocate(&name, spec.bytes().0).map_err(&failed)?);
        }
        for one in &self.plan.workspace {
            let pointer = memory.allocate(one.name, one.init.bytes()).map_err(&failed)?;
            pointers.workspace.push(pointer);
        }
        for (one, &pointer) in self.plan.workspace.iter().zip(&pointers.workspace) {
            let bytes = match &one.init {
                Init::Unwritten(_) => continue,
                Init::Bytes(bytes) => bytes.clone(),
                Init::Words(words) => words
                    .iter()
                    .flat_map(|word| match *word {
                        Word::Number(number) => number.to_le_bytes(),
                        Word::Address(buffer, at) => (pointers.of(buffer).0 + at).to_le_bytes(),
                    })
                    .collect(),
            };
            memory.write(pointer, &bytes).map_err(&failed)?;
        }
        (self.memory, self.pointers, self.begun) = (memory, pointers, false);
        Ok(())
    }

    /// What each entry takes of a multiprocessor, by its largest launch.
    fn resources(&self) -> Counters {
        let mut counters = Counters::new();
        for one in &self.built.resources {
            let steps = self.plan.steps.iter().filter(|step| step.entry == one.entry);
            let Some(step) = steps.max_by_key(|s| (s.block.iter().product::<u32>(), s.shared))
            else {
                continue;
            };
            let values =
                taken(one, footprint(one, step.block, step.shared), self.device.architecture);
            counters.extend(values.map(|(what, value)| (format!("{}.{what}", one.entry), value)));
        }
        counters
    }

    fn launch_of(&self, step: &Step) -> Result<Launch> {
        let mut arguments: Vec<Argument> =
            step.buffers.iter().map(|&b| self.pointers.of(b).into()).collect();
        arguments.extend(step.scalars.iter().map(|scalar| match *scalar {
            Scalar::U32(x) => Argument::from(x),
            Scalar::U64(x) => Argument::from(x),
            Scalar::F32(x) => Argument::from(x),
        }));
        for map in &step.maps {
            let buffer = self.pointers.of(map.buffer);
            let map = Map::Tiled(tiled(map)).encode(buffer).map_err(simulator(self.id))?;
            arguments.push(map.into());
        }
        let written = self.plan.workspace.iter().zip(&self.pointers.workspace);
        let written = written.filter(|(one, _)| one.written).map(|(_, &pointer)| pointer);
        Ok(Launch {
            entry: step.entry.into(),
            grid: step.grid,
            block: step.block,
            cluster: step.cluster,
            shared: step.shared,
            arguments,
            may_write: Some(self.pointers.written.iter().copied().chain(written).collect()),
        })
    }
}

/// What `cuTensorMapEncodeTiled` is asked for a row's tensor map; it begins where its buffer does.
pub fn tiled(map: &TensorMap) -> Tiled {
    Tiled {
        element: match map.dtype {
            MapType::U8 => ElementType::U8,
            MapType::Bf16 => ElementType::Bf16,
            MapType::F16 => ElementType::F16,
            MapType::F32 => ElementType::F32,
            MapType::I32 => ElementType::S32,
        },
        address: Pointer(0),
        dims: map.dims.clone(),
        strides: map.strides.clone(),
        tile: map.box_dims.clone(),
        element_strides: Vec::new(),
        swizzle: match map.swizzle {
            Swizzle::None => tensor::swizzle::Swizzle::None,
            Swizzle::B32 => tensor::swizzle::Swizzle::B32,
            Swizzle::B64 => tensor::swizzle::Swizzle::B64,
            Swizzle::B128 => tensor::swizzle::Swizzle::B128,
        },
        fill_nan: false,
    }
}

/// What a block of this shape, with this much dynamic shared memory, takes of a multiprocessor.
pub fn footprint(resources: &Resources, block: [u32; 3], shared: u32) -> Footprint {
    let Resources { registers, barriers, .. } = *resources;
    let threads = block.iter().product();
    Footprint { threads, registers, shared: resources.shared + shared, barriers }
}

/// The values of [`RESOURCES`] that are known on an architecture.
pub fn taken(
    resources: &Resources,
    block: Footprint,
    on: Architecture,
) -> impl Iterator<Item = (&'static str, f64)> + use<> {
    let fits = occupancy(on.number, block);
    let values = [
        Some(f64::from(block.registers)),
        Some(f64::from(block.shared)),
        Some(f64::from(resources.spill_stores + resources.spill_loads)),
        fits.map(|fits| f64::from(fits.blocks)),
        fits.map(|fits| fits.share),
    ];
    RESOURCES.into_iter().zip(values).filter_map(|(what, value)| Some((what, value?)))
}

/// The first findings in words, with how many there are.
pub fn describe(findings: &[Finding]) -> String {
    const SHOWN: usize = 3;
    let mut text = String::new();
    for finding in findings.iter().take(SHOWN) {
        let _ = write!(text, "{}{finding}", if text.is_empty() { "" } else { "; " });
    }
    if findings.len() > SHOWN {
        let _ = write!(text, "; and {} more", findings.len() - SHOWN);
    }
    text
}

impl Prepared for SimPrepared<'_> {
    fn launch(&mut self, _: usize) -> Result<()> {
        let (mut counted, options) = (ptxsim::Counters::default(), &self.device.options);
        if !self.begun {
            for step in self.plan.prologue.clone() {
                self.run(&step, options)?;
            }
            self.begun = true;
        }
        for step in self.plan.steps.clone() {
            counted.merge(&self.run(&step, options)?.counters);
        }
        self.counters = named(&counted);
        self.counters.extend(self.resources());
        Ok(())
    }

    fn slots(&self) -> usize {
        1
    }

    fn reset(&mut self) -> Result<()> {
        self.fill()
    }

    /// An entry that nobody wrote is poison, whatever bytes are there.
    fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
        let specs = self.inputs.tensors.iter().map(|t| &t.spec).filter(|s| s.in_out);
        let specs: Vec<&TensorSpec> = specs.chain(&self.results).collect();
        let failed = simulator(self.id);
        let mut outputs = Vec::new();
        for (spec, &pointer) in specs.into_iter().zip(&self.pointers.written) {
            let mut tensor = Tensor::poisoned(spec.clone());
            let (len, size) = (spec.bytes().0 as usize, spec.dtype.size());
            let bytes = self.memory.read(pointer, len).map_err(&failed)?;
            if self.memory.is_written(pointer, len).map_err(&failed)? {
                tensor.bytes[..len].copy_from_slice(&bytes);
            } else {
                for (i, element) in bytes.chunks_exact(size).enumerate() {
                    let at = pointer.offset((i * size) as i64);
                    if self.memory.is_written(at, size).map_err(&failed)? {
                        tensor.bytes[i * size..][..size].copy_from_slice(element);
                    }
                }
            }
            outputs.push(tensor);
        }
        Ok(outputs.into())
    }

    fn allocated(&self) -> Bytes {
        self.allocated
    }

    fn counters(&self) -> Option<Counters> {
        Some(self.counters.clone())
    }
}

/// Counters by the names that files and reports use; `ptxsim` defines them.
pub fn named(counters: &ptxsim::Counters) -> Counters {
    counters.iter().map(|(name, value)| (name.to_owned(), value as f64)).collect()
}

//! A context of the fake driver: handles, and calls that end in its stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ptxsim::conformance::Map;
use ptxsim::{Module, Pointer};

use super::blas::FakeBlas;
use super::clock::{CALL_NS, Telemetry};
use super::conditions::Conditions;
use super::profiler::FakeProfiler;
use super::stream::{Call, Stream, Word, Work};
use crate::device::cuda::attributes::Attributes;
use crate::device::cuda::blas::{Blas, Gemm};
use crate::device::cuda::cupti::Profiler;
use crate::device::cuda::driver::{Address, Context, Handle, Image, Mapped, Room, Shape};
use crate::error::{Error, Result};
use crate::units::Bytes;

/// What the driver itself takes of a GPU's memory for a context.
const OWN: u64 = 1 << 20;

#[derive(Debug)]
pub struct FakeContext {
    attributes: Attributes,
    state: Mutex<State>,
    telemetry: Arc<Mutex<Telemetry>>,
}

#[derive(Debug)]
pub struct State {
    pub stream: Stream,
    /// Products that were described to cuBLASLt.
    pub products: HashMap<usize, Gemm>,
    next: usize,
    lengths: HashMap<u64, u64>,
    allocations: u64,
    modules: HashMap<usize, Arc<Module>>,
    functions: HashMap<usize, (usize, String)>,
    capture: Option<Vec<Work>>,
    graphs: HashMap<usize, Arc<Vec<Work>>>,
}

impl State {
    pub fn handle(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn used(&self) -> u64 {
        self.lengths.values().sum::<u64>() + OWN + self.stream.conditions.held.0
    }

    /// Into the graph that is captured, else into the stream.
    pub fn enqueue(&mut self, work: Work) {
        match &mut self.capture {
            Some(all) => all.push(work),
            None => self.stream.enqueue(work),
        }
    }
}

impl FakeContext {
    pub fn new(
        attributes: Attributes,
        conditions: Conditions,
        telemetry: Arc<Mutex<Telemetry>>,
    ) -> Self {
        let state = State {
            stream: Stream::new(conditions, attributes.l2),
            products: HashMap::new(),
            next: 0,
            lengths: HashMap::new(),
            allocations: 0,
            modules: HashMap::new(),
            functions: HashMap::new(),
            capture: None,
            graphs: HashMap::new(),
        };
        FakeContext { attributes, state: Mutex::new(state), telemetry }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn drain(&self, state: &mut State) -> Result<()> {
        let mut telemetry = self.telemetry.lock().unwrap_or_else(|e| e.into_inner());
        state.stream.drain(&mut telemetry)
    }
}

fn outside(error: ptxsim::Error) -> Error {
    Error::Library(format!("the fake driver failed to copy: {error}"))
}

impl Context for FakeContext {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn room(&self) -> Result<Room> {
        let free = self.attributes.memory.0.saturating_sub(self.state().used());
        Ok(Room { free: Bytes(free), total: self.attributes.memory })
    }

    fn allocate(&self, bytes: Bytes) -> Result<Address> {
        let mut state = self.state();
        state.allocations += 1;
        let injected = state.stream.conditions.oom == Some(state.allocations);
        if injected || state.used() + bytes.0 > self.attributes.memory.0 {
            return Err(Error::Library(format!(
                "the CUDA driver failed to allocate {bytes}: out of memory (2)"
            )));
        }
        let pointer = state.stream.memory.allocate("memory", bytes.0).map_err(outside)?;
        state.lengths.insert(pointer.0, bytes.0);
        Ok(Address(pointer.0))
    }

    fn free(&self, at: Address) {
        let mut state = self.state();
        // As `cuMemFree`, which waits; what went wrong shows in the next call that says so.
        let _ = self.drain(&mut state);
        state.lengths.remove(&at.0);
        state.stream.memory.release(Pointer(at.0));
        state.stream.generation += 1;
    }

    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        self.drain(&mut state)?;
        state.stream.generation += 1;
        state.stream.memory.write(Pointer(to.0), bytes).map_err(outside)
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        let mut state = self.state();
        self.drain(&mut state)?;
        let read = state.stream.memory.read(Pointer(from.0), bytes.len()).map_err(outside)?;
        bytes.copy_from_slice(&read);
        Ok(())
    }

    fn copy(&self, to: Address, from: Address, bytes: Bytes) -> Result<()> {
        self.state().enqueue(Work::Copy(Pointer(to.0), Pointer(from.0), bytes.0));
        Ok(())
    }

    fn fill(&self, at: Address, byte: u8, bytes: Bytes) -> Result<()> {
        self.state().enqueue(Work::Fill(Pointer(at.0), byte, bytes.0));
        Ok(())
    }

    fn map_word(&self) -> Result<Mapped> {
        let mut state = self.state();
        let handle = state.handle();
        state.stream.words.insert(handle as u64, Word::default());
        Ok(Mapped { host: Handle(handle), device: Address(handle as u64) })
    }

    fn store(&self, word: Mapped, value: u32) {
        let stream = &mut self.state().stream;
        stream.words.insert(word.device.0, Word { value, set_at: stream.host_ns });
    }

    fn read(&self, word: Mapped) -> u32 {
        self.state().stream.words.get(&word.device.0).map_or(0, |word| word.value)
    }

    fn unmap(&self, word: Mapped) {
        self.state().stream.words.remove(&word.device.0);
    }

    fn load(&self, image: &Image<'_>) -> Result<Handle> {
        let module = Module::parse(image.ptx)
            .map_err(|e| Error::Library(format!("the fake driver failed to load a module: {e}")))?;
        let mut state = self.state();
        let handle = state.handle();
        state.modules.insert(handle, Arc::new(module));
        Ok(Handle(handle))
    }

    fn unload(&self, module: Handle) {
        let mut state = self.state();
        state.modules.remove(&module.0);
        state.functions.retain(|_, (of, _)| *of != module.0);
    }

    fn function(&self, module: Handle, name: &str, shared: u32) -> Result<Handle> {
        let mut state = self.state();
        let known = state.modules.get(&module.0).is_some_and(|m| m.entries().any(|e| e == name));
        if !known {
            return Err(Error::Library(format!(
                "the CUDA driver failed to find the kernel {name}: named symbol not found (500)"
            )));
        }
        if shared > self.attributes.shared_per_block {
            return Err(Error::Library(format!(
                "the CUDA driver failed to give {name} {shared} bytes of shared memory a block: invalid argument (1)"
            )));
        }
        let handle = state.handle();
        state.functions.insert(handle, (module.0, name.to_owned()));
        Ok(Handle(handle))
    }

    fn tensor_map(&self, map: &Map, buffer: Address) -> Result<[u8; 128]> {
        map.encode(Pointer(buffer.0)).map(|map| map.image()).map_err(|e| {
            Error::Library(format!("the CUDA driver failed to encode a tensor map: {e}"))
        })
    }

    unsafe fn launch(&self, function: Handle, shape: &Shape, arguments: &[&[u8]]) -> Result<()> {
        let mut state = self.state();
        let (module_id, entry) = state.functions.get(&function.0).cloned().ok_or_else(|| {
            Error::Library("the CUDA driver failed to launch: invalid handle (400)".into())
        })?;
        let module = Arc::clone(&state.modules[&module_id]);
        let arguments = arguments.iter().map(|bytes| bytes.to_vec()).collect();
        let call = Call { module, module_id, entry, shape: *shape, arguments };
        state.enqueue(Work::Launch(Arc::new(call)));
        Ok(())
    }

    fn event(&self) -> Result<Handle> {
        let mut state = self.state();
        let handle = state.handle();
        state.stream.events.insert(handle, None);
        Ok(Handle(handle))
    }

    fn record(&self, event: Handle) -> Result<()> {
        self.state().enqueue(Work::Record(event.0));
        Ok(())
    }

    fn elapsed_ns(&self, from: Handle, to: Handle) -> Result<f64> {
        let state = self.state();
        let at = |event: Handle| state.stream.events.get(&event.0).copied().flatten();
        match (at(from), at(to)) {
            (Some(from), Some(to)) => Ok(to - from),
            _ => Err(Error::Library(
                "the CUDA driver failed to tell the time between two events: not ready (600)"
                    .into(),
            )),
        }
    }

    fn forget_event(&self, event: Handle) {
        self.state().stream.events.remove(&event.0);
    }

    fn begin_capture(&self) -> Result<()> {
        self.state().capture = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&self) -> Result<Handle> {
        let mut state = self.state();
        let all = state.capture.take().unwrap_or_default();
        let handle = state.handle();
        state.graphs.insert(handle, Arc::new(all));
        Ok(Handle(handle))
    }

    fn launch_graph(&self, graph: Handle) -> Result<()> {
        let mut state = self.state();
        let all = Arc::clone(&state.graphs[&graph.0]);
        state.enqueue(Work::Graph(all));
        Ok(())
    }

    fn forget_graph(&self, graph: Handle) {
        self.state().graphs.remove(&graph.0);
    }

    fn synchronize(&self) -> Result<()> {
        let mut state = self.state();
        state.stream.host_ns += CALL_NS;
        self.drain(&mut state)
    }

    fn blas(&self) -> Result<Box<dyn Blas + '_>> {
        Ok(Box::new(FakeBlas::new(self)?))
    }

    fn profiler(&self) -> Result<Box<dyn Profiler + '_>> {
        Ok(Box::new(FakeProfiler::new(self)?))
    }
}

//! What a context has lent, given back when it is dropped.

use std::sync::Arc;

use super::driver::{Address, Context, Handle, Image, Mapped};
use crate::error::Result;
use crate::units::Bytes;

/// Memory of a GPU.
#[derive(Debug)]
pub struct Buffer {
    context: Arc<dyn Context>,
    /// Where it begins.
    pub address: Address,
    /// How long it is.
    pub len: Bytes,
}

impl Buffer {
    /// Takes memory; of at least one byte, so that every buffer has an address of its own.
    ///
    /// # Errors
    /// When there is not enough.
    pub fn new(context: &Arc<dyn Context>, len: Bytes) -> Result<Self> {
        let address = context.allocate(Bytes(len.0.max(1)))?;
        Ok(Buffer { context: Arc::clone(context), address, len })
    }

    /// Takes memory with these bytes in it.
    ///
    /// # Errors
    /// When there is not enough, or the context is lost.
    pub fn of(context: &Arc<dyn Context>, bytes: &[u8]) -> Result<Self> {
        let buffer = Buffer::new(context, Bytes(bytes.len() as u64))?;
        if !bytes.is_empty() {
            context.upload(buffer.address, bytes)?;
        }
        Ok(buffer)
    }

    /// What it holds.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn download(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len.0 as usize];
        if !bytes.is_empty() {
            self.context.download(self.address, &mut bytes)?;
        }
        Ok(bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.context.free(self.address);
    }
}

/// A loaded module.
#[derive(Debug)]
pub struct Module {
    context: Arc<dyn Context>,
    handle: Handle,
}

impl Module {
    /// Loads one.
    ///
    /// # Errors
    /// What the driver says of it.
    pub fn load(context: &Arc<dyn Context>, image: &Image<'_>) -> Result<Self> {
        Ok(Module { handle: context.load(image)?, context: Arc::clone(context) })
    }

    /// Its kernel `name`, that may take this much dynamic shared memory. It is gone with the module.
    ///
    /// # Errors
    /// Where it has none of this name, or the GPU not so much shared memory.
    pub fn function(&self, name: &str, shared: u32) -> Result<Handle> {
        self.context.function(self.handle, name, shared)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.context.unload(self.handle);
    }
}

/// A word that host and GPU see.
#[derive(Debug)]
pub struct Word {
    context: Arc<dyn Context>,
    mapped: Mapped,
}

impl Word {
    /// Takes one; it begins as 0.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn new(context: &Arc<dyn Context>) -> Result<Self> {
        Ok(Word { mapped: context.map_word()?, context: Arc::clone(context) })
    }

    /// Where the GPU sees it.
    pub fn address(&self) -> Address {
        self.mapped.device
    }

    /// Sets it, at once.
    pub fn store(&self, value: u32) {
        self.context.store(self.mapped, value);
    }

    /// What it is now.
    pub fn read(&self) -> u32 {
        self.context.read(self.mapped)
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        self.context.unmap(self.mapped);
    }
}

/// An event that times.
#[derive(Debug)]
pub struct Event {
    context: Arc<dyn Context>,
    handle: Handle,
}

impl Event {
    /// Makes one.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn new(context: &Arc<dyn Context>) -> Result<Self> {
        Ok(Event { handle: context.event()?, context: Arc::clone(context) })
    }

    /// Enqueues that it takes the time.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn record(&self) -> Result<()> {
        self.context.record(self.handle)
    }

    /// Nanoseconds since an earlier event; both must have taken the time.
    ///
    /// # Errors
    /// When the context is lost, or one of them has not.
    pub fn since_ns(&self, earlier: &Event) -> Result<f64> {
        self.context.elapsed_ns(earlier.handle, self.handle)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.context.forget_event(self.handle);
    }
}

/// Launches that are enqueued as one.
#[derive(Debug)]
pub struct Graph {
    context: Arc<dyn Context>,
    handle: Handle,
}

impl Graph {
    /// Puts what `enqueue` enqueues into a graph.
    ///
    /// # Errors
    /// As `enqueue`, and of the driver's.
    pub fn of(context: &Arc<dyn Context>, enqueue: &mut dyn FnMut() -> Result<()>) -> Result<Self> {
        context.begin_capture()?;
        let enqueued = enqueue();
        // Ended in any case: a stream that captures can do nothing else.
        let handle = context.end_capture();
        enqueued?;
        Ok(Graph { handle: handle?, context: Arc::clone(context) })
    }

    /// Enqueues it.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn launch(&self) -> Result<()> {
        self.context.launch_graph(self.handle)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        self.context.forget_graph(self.handle);
    }
}

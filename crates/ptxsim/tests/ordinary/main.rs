//! Ordinary kernels (`corpus/src`), run with every check on, under several seeds and numbers of host threads: no finding,
//! the same counters, and the results that plain Rust computes.

mod graph;
mod ladder;
mod linear;
mod mutation;
mod network;
mod physics;
mod reduce;
mod scan;
mod sgemm;
mod sort;
mod tensor;
mod transpose;

use mutation::trial;
use ptxsim::{
    Argument, Checks, Counters, Error, Launch, Memory, Module, Options, Pointer, TensorMap,
};

/// What a test can pass in and get back.
pub(crate) trait Element: Copy + PartialEq + std::fmt::Debug {
    const SIZE: usize;
    fn put(self, out: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! elements {
    ($($ty:ty),*) => {$(
        impl Element for $ty {
            const SIZE: usize = size_of::<$ty>();
            fn put(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> $ty {
                <$ty>::from_le_bytes(bytes.try_into().unwrap())
            }
        }
    )*};
}
elements!(u8, i8, u16, i32, u32, u64, f32, f64);

enum Buffer {
    Argument(Argument),
    Input(Vec<u8>),
    /// Bytes that it holds at first; nothing where nothing is written yet.
    Output(usize, Option<Vec<u8>>),
    /// A map of the buffer with this number.
    Map(usize, Box<dyn Fn(Pointer) -> TensorMap>),
    /// Words in global memory, some of them addresses.
    Table(Vec<Word>),
}

/// A word of a table.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// Of the buffer with this number, and bytes.
    Address(usize, i64),
    Number(u64),
}

/// One kernel and how to launch it.
pub(crate) struct Kernel {
    file: &'static str,
    entry: &'static str,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    arguments: Vec<Buffer>,
    /// Numbers of the buffers that maps and tables lead to, and that are no arguments.
    hidden: Vec<usize>,
    symbols: Vec<(&'static str, Vec<u8>)>,
    repeatable: bool,
    waits: bool,
}

/// The outputs of a launch, in order of the arguments, and its counters; none where a mutant is on trial, which its results are
/// to convict.
pub(crate) struct Outputs(Vec<Vec<u8>>, Option<Counters>);

impl Outputs {
    pub(crate) fn get<T: Element>(&self, index: usize) -> Vec<T> {
        self.0[index].chunks(T::SIZE).map(T::get).collect()
    }

    /// Holds counters to what they must be.
    pub(crate) fn counts(&self, of: impl Fn(&dyn Fn(&str) -> u64)) {
        if let Some(counters) = &self.1 {
            of(&|name| counters.get(name));
        }
    }
}

fn bytes<T: Element>(values: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| value.put(&mut out));
    out
}

impl Kernel {
    pub(crate) fn new(file: &'static str, entry: &'static str) -> Kernel {
        Kernel {
            file,
            entry,
            grid: [1; 3],
            block: [32, 1, 1],
            shared: 0,
            arguments: Vec::new(),
            hidden: Vec::new(),
            symbols: Vec::new(),
            repeatable: true,
            waits: false,
        }
    }

    pub(crate) fn grid(mut self, x: usize, y: usize) -> Kernel {
        self.grid = [x as u32, y as u32, 1];
        self
    }

    pub(crate) fn block(mut self, x: usize, y: usize) -> Kernel {
        self.block = [x as u32, y as u32, 1];
        self
    }

    /// Bytes of dynamic shared memory.
    pub(crate) fn shared(mut self, bytes: usize) -> Kernel {
        self.shared = bytes as u32;
        self
    }

    /// A buffer that the kernel must not write.
    pub(crate) fn input<T: Element>(mut self, values: &[T]) -> Kernel {
        self.arguments.push(Buffer::Input(bytes(values)));
        self
    }

    /// A buffer that holds nothing yet.
    pub(crate) fn output<T: Element>(mut self, len: usize) -> Kernel {
        self.arguments.push(Buffer::Output(len * T::SIZE, None));
        self
    }

    /// A buffer that the kernel reads and writes.
    pub(crate) fn in_out<T: Element>(mut self, values: &[T]) -> Kernel {
        let bytes = bytes(values);
        self.arguments.push(Buffer::Output(bytes.len(), Some(bytes)));
        self
    }

    pub(crate) fn scalar<T: Into<Argument>>(mut self, value: T) -> Kernel {
        self.arguments.push(Buffer::Argument(value.into()));
        self
    }

    /// A tensor map of an earlier buffer, counted from 0 over all arguments.
    pub(crate) fn map(mut self, of: usize, map: impl Fn(Pointer) -> TensorMap + 'static) -> Kernel {
        self.arguments.push(Buffer::Map(of, Box::new(map)));
        self
    }

    /// A table that holds addresses of earlier buffers.
    pub(crate) fn table(mut self, words: Vec<Word>) -> Kernel {
        self.arguments.push(Buffer::Table(words));
        self
    }

    /// The last buffer is reached by a map or table only.
    pub(crate) fn hidden(mut self) -> Kernel {
        self.hidden.push(self.arguments.len() - 1);
        self
    }

    /// What a variable of the module holds.
    pub(crate) fn symbol<T: Element>(mut self, name: &'static str, values: &[T]) -> Kernel {
        self.symbols.push((name, bytes(values)));
        self
    }

    /// Floats are added in an order that depends on the schedule, or threads wait for each other in loops: outputs and
    /// counters may differ between seeds.
    pub(crate) fn any_order(mut self) -> Kernel {
        self.repeatable = false;
        self
    }

    /// Threads wait at mbarriers: also where waits give up.
    pub(crate) fn waits(mut self) -> Kernel {
        self.waits = true;
        self
    }

    /// Runs under several seeds and numbers of host threads; once where a mutant is on trial.
    ///
    /// # Panics
    /// Where there is a finding, or outputs or counters differ.
    pub(crate) fn run(self) -> Outputs {
        if let Some(outputs) = trial::run(&self) {
            return outputs;
        }
        let module = read(self.file);
        let mut first = None;
        for (seed, threads, late) in [(0, 1, true), (1, 2, true), (2, 1, false), (0, 2, true)] {
            let options =
                Options { seed, threads, late, checks: Checks::all(), ..Options::default() };
            let (outputs, counters) =
                self.once(&module, &options).unwrap_or_else(|e| panic!("{}: {e}", self.entry));
            match &first {
                None => first = Some((outputs, counters)),
                Some(_) if !self.repeatable => {}
                Some(first) => {
                    assert!(first.0 == outputs, "{}: outputs differ at seed {seed}", self.entry);
                    assert_eq!(first.1, counters, "{}: seed {seed}", self.entry);
                }
            }
        }
        if self.waits {
            // Waits that give up are executed more often, which changes no result.
            let options = Options { seed: 9, late: false, give_up: true, ..Options::default() };
            let ran =
                self.once(&module, &options).unwrap_or_else(|e| panic!("{}: {e}", self.entry));
            assert!(first.as_ref().is_some_and(|first| first.0 == ran.0), "{}", self.entry);
        }
        let (outputs, counters) = first.unwrap();
        Outputs(outputs, Some(counters))
    }

    /// The outputs, or what ended the launch or was found first.
    fn once(&self, module: &Module, options: &Options) -> Result<(Vec<Vec<u8>>, Counters), Error> {
        let mut memory = Memory::new();
        let mut pointers = Vec::<Option<Pointer>>::new();
        let (mut outputs, mut arguments) = (Vec::<(Pointer, usize)>::new(), Vec::new());
        for (index, buffer) in self.arguments.iter().enumerate() {
            let name = format!("argument {index}");
            let mut filled = |bytes: &[u8]| -> Result<Pointer, Error> {
                let pointer = memory.allocate(&name, bytes.len() as u64)?;
                memory.write(pointer, bytes)?;
                Ok(pointer)
            };
            let (argument, pointer) = match buffer {
                Buffer::Argument(argument) => (argument.clone(), None),
                Buffer::Map(of, map) => (map(pointers[*of].unwrap()).into(), None),
                Buffer::Input(bytes) => passed(filled(bytes)?),
                Buffer::Output(_, Some(bytes)) => passed(filled(bytes)?),
                Buffer::Output(len, None) => passed(memory.allocate(&name, *len as u64)?),
                Buffer::Table(words) => {
                    let word = |word: &Word| match *word {
                        Word::Address(of, bytes) => {
                            Argument::from(pointers[of].unwrap().offset(bytes)).0
                        }
                        Word::Number(number) => number.to_le_bytes().to_vec(),
                    };
                    passed(filled(&words.iter().flat_map(word).collect::<Vec<u8>>())?)
                }
            };
            if let Buffer::Output(len, _) = buffer {
                outputs.push((pointer.unwrap(), *len));
            }
            pointers.push(pointer);
            if !self.hidden.contains(&index) {
                arguments.push(argument);
            }
        }
        let mut may_write: Vec<Pointer> = outputs.iter().map(|output| output.0).collect();
        for (name, bytes) in &self.symbols {
            let pointer = module.symbol(name, &mut memory)?;
            memory.write(pointer, bytes)?;
            may_write.push(pointer);
        }
        let launch = Launch {
            entry: self.entry.into(),
            grid: self.grid,
            block: self.block,
            shared: self.shared,
            arguments,
            may_write: Some(may_write),
            ..Launch::default()
        };
        let mut report = ptxsim::run(module, &launch, &mut memory, options)?;
        if !report.findings.is_empty() {
            return Err(Error::Finding(Box::new(report.findings.swap_remove(0))));
        }
        let read = |&(pointer, len): &(Pointer, usize)| memory.read(pointer, len).unwrap();
        Ok((outputs.iter().map(read).collect(), report.counters))
    }
}

/// A text of the corpus, taken apart.
pub(crate) fn read(file: &str) -> Module {
    let path = format!("{}/corpus/{file}.ptx", env!("CARGO_MANIFEST_DIR"));
    Module::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn passed(pointer: Pointer) -> (Argument, Option<Pointer>) {
    (pointer.into(), Some(pointer))
}

/// The first; mutants on trial meet the others, too.
pub(crate) fn vary<T: Copy, const N: usize>(choices: [T; N]) -> T {
    choices[trial::inputs() as usize % N]
}

/// A reproducible source of inputs.
pub(crate) struct Source(u64);

impl Source {
    pub(crate) fn new(seed: u64) -> Source {
        Source(seed + 1000 * trial::inputs())
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// `n` numbers in `[-1, 1)`; for mutants also numbers whose products vanish, so that nothing hides what sums begin with.
    pub(crate) fn floats(&mut self, n: usize) -> Vec<f32> {
        let scale = if trial::inputs() == trial::TINY { 2f32.powi(-90) } else { 1.0 };
        (0..n).map(|_| ((self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale).collect()
    }

    /// `n` integers in `0..below`.
    pub(crate) fn integers(&mut self, n: usize, below: u64) -> Vec<i32> {
        (0..n).map(|_| (self.bits() % below) as i32).collect()
    }

    /// `n` words.
    pub(crate) fn words(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.bits() as u32).collect()
    }
}

/// Compares with what `f64` gives, within `tolerance` times the larger of 1 and the value's magnitude.
pub(crate) fn assert_close(found: &[f32], expected: impl IntoIterator<Item = f64>, tolerance: f64) {
    let mut count = 0;
    for (i, expected) in expected.into_iter().enumerate() {
        let error = (found[i] as f64 - expected).abs();
        let within = error <= tolerance * expected.abs().max(1.0);
        assert!(within, "entry {i}: {} instead of {expected}", found[i]);
        count += 1;
    }
    assert_eq!(count, found.len());
}

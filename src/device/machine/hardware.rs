//! The hardware class: what another machine must share for its numbers to be comparable.
//!
//! Linux tells it in `/proc` and `/sys`; the CPUID instruction and `sysinfo` fill in what these leave out on the running
//! system. What nobody tells stays `None`.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::microarchitecture;
use super::root::{Root, field_of};
use crate::units::Bytes;

const CPUS: &str = "sys/devices/system/cpu";

/// Instruction sets that kernels are chosen by, by the names that Linux gives them.
const INSTRUCTION_SETS: &[&str] = &[
    // x86-64
    "sse4_2",
    "avx",
    "f16c",
    "fma",
    "avx2",
    "bmi2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16", // aarch64
    "asimd",
    "asimdhp",
    "asimddp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
    "sme",
];

/// One level of cache, all its instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CacheLevel {
    /// `L1d`, `L1i`, `L2`, `L3`.
    pub name: String,
    /// Size of one instance.
    pub size: Bytes,
    /// How many there are.
    pub instances: usize,
    /// Logical CPUs that share one.
    pub shared_by: usize,
}

/// Processor and memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// Who made the CPU, as it says: `AuthenticAMD`.
    pub vendor: Option<String>,
    /// Its marketing name; virtual machines may mask it.
    pub model_name: Option<String>,
    /// The design of its cores, from family and model: `Zen 4`.
    pub microarchitecture: Option<String>,
    /// CPU family (x86), or implementer (Arm).
    pub family: Option<u32>,
    /// Model within the family (x86), or part (Arm).
    pub model: Option<u32>,
    /// Revision of the model.
    pub stepping: Option<u32>,
    /// Revision of the microcode, as Linux prints it.
    pub microcode: Option<String>,
    /// Processor packages.
    pub sockets: Option<usize>,
    /// Cores, all sockets together.
    pub physical_cores: Option<usize>,
    /// Hardware threads that are online.
    pub logical_cpus: Option<usize>,
    /// Hardware threads of a core.
    pub threads_per_core: Option<usize>,
    /// Guaranteed frequency. In a virtual machine without frequency control: that of its time stamp counter.
    pub base_mhz: Option<u32>,
    /// Highest frequency that the system may choose.
    pub max_mhz: Option<u32>,
    /// Caches, from the fastest level on.
    pub caches: Vec<CacheLevel>,
    /// Those of the instruction sets that matter here, by Linux's names.
    pub instruction_sets: Vec<String>,
    /// Memory of the machine.
    pub memory: Option<Bytes>,
    /// Memory nodes.
    pub numa_nodes: Option<usize>,
    /// The hypervisor's name, in a virtual machine; `unknown` where it hides.
    pub hypervisor: Option<String>,
    /// The product's name in the firmware's tables: a cloud's instance type, a laptop's model.
    pub product: Option<String>,
}

impl Hardware {
    /// What the system under `root` tells.
    pub fn detect(root: &Root) -> Self {
        let cpuinfo = root.text("proc/cpuinfo").unwrap_or_default();
        // The first block describes the first CPU; of mixed cores it is the first kind.
        let first: Vec<&str> = cpuinfo.lines().take_while(|l| !l.trim().is_empty()).collect();
        let field = |key: &str| first.iter().find_map(|line| field_of(line, key));
        let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
        let flags: BTreeSet<&str> = flags.split_whitespace().collect();

        let mut hardware = Hardware {
            vendor: field("vendor_id"),
            model_name: field("model name"),
            family: field("cpu family").or_else(|| field("CPU implementer")).and_then(number),
            model: field("model").or_else(|| field("CPU part")).and_then(number),
            stepping: field("stepping").or_else(|| field("CPU revision")).and_then(number),
            microcode: field("microcode"),
            base_mhz: base_mhz(root, field("cpu MHz"), &flags),
            max_mhz: root
                .number(&format!("{CPUS}/cpu0/cpufreq/cpuinfo_max_freq"))
                .and_then(|khz| u32::try_from(khz / 1000).ok()),
            caches: caches(root),
            instruction_sets: INSTRUCTION_SETS
                .iter()
                .filter(|name| flags.contains(*name))
                .map(|name| name.to_string())
                .collect(),
            memory: root.kib_field("proc/meminfo", "MemTotal").map(Bytes),
            numa_nodes: Some(root.list("sys/devices/system/node/online").len()).filter(|&n| n > 0),
            product: product(root),
            ..Hardware::default()
        };
        let arm = field("CPU implementer").is_some();
        hardware.hypervisor = hypervisor(root, flags.contains("hypervisor"), arm);
        hardware.topology(root, &cpuinfo);
        if root.is_live() {
            hardware.ask_the_system();
        }
        hardware.microarchitecture = hardware.design().map(str::to_owned);
        hardware
    }

    fn design(&self) -> Option<&'static str> {
        let (family, model) = (self.family?, self.model?);
        match &self.vendor {
            Some(vendor) => {
                let design =
                    microarchitecture::x86(vendor, family, model, self.stepping.unwrap_or(0));
                let amx = self.instruction_sets.iter().any(|name| name == "amx_tile");
                if amx { Some(microarchitecture::with_amx(design)) } else { design }
            }
            None => microarchitecture::arm(family, model),
        }
    }

    /// Counts sockets, cores and hardware threads: from `/sys`, or from the blocks of `/proc/cpuinfo`.
    fn topology(&mut self, root: &Root, cpuinfo: &str) {
        let cpus = online(root);
        let mut sockets = BTreeSet::new();
        let mut cores = BTreeSet::new();
        for cpu in &cpus {
            let of = |name: &str| root.number(&format!("{CPUS}/cpu{cpu}/topology/{name}"));
            let (Some(socket), Some(core)) = (of("physical_package_id"), of("core_id")) else {
                continue;
            };
            sockets.insert(socket);
            // Core numbers repeat between dies and clusters; a set of siblings does not.
            let siblings = root.text(&format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list"));
            cores.insert((socket, core, siblings));
        }
        let blocks = cpuinfo.lines().filter(|l| field_of(l, "processor").is_some()).count();
        let logical = if cpus.is_empty() { blocks } else { cpus.len() };
        self.logical_cpus = Some(logical).filter(|&n| n > 0);
        self.sockets = Some(sockets.len()).filter(|&n| n > 0);
        self.physical_cores = Some(cores.len()).filter(|&n| n > 0);
        self.threads_per_core = self.physical_cores.map(|cores| logical.div_ceil(cores).max(1));
    }

    /// Fills in what the files left out, on the running system.
    fn ask_the_system(&mut self) {
        #[cfg(target_arch = "x86_64")]
        self.ask_cpuid();
        if self.logical_cpus.is_none() {
            self.logical_cpus = std::thread::available_parallelism().ok().map(|n| n.get());
        }
        if self.physical_cores.is_none() {
            self.physical_cores = sysinfo::System::physical_core_count().ok().filter(|&n| n > 0);
        }
        if self.memory.is_some() && self.model_name.is_some() {
            return;
        }
        let Ok(mut system) = sysinfo::System::new() else { return };
        if self.memory.is_none() {
            system.refresh_memory();
            self.memory = Some(Bytes(system.total_memory())).filter(|m| m.0 > 0);
        }
        if self.model_name.is_none() {
            system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
            let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
            self.model_name = brand.filter(|b| !b.is_empty());
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn ask_cpuid(&mut self) {
        let cpuid = raw_cpuid::CpuId::new();
        let fill = |field: &mut Option<u32>, value: u8| {
            field.get_or_insert(u32::from(value));
        };
        if self.vendor.is_none() {
            self.vendor = cpuid.get_vendor_info().map(|v| v.as_str().to_owned());
        }
        if let Some(features) = cpuid.get_feature_info() {
            fill(&mut self.family, features.family_id());
            fill(&mut self.model, features.model_id());
            fill(&mut self.stepping, features.stepping_id());
        }
        if self.base_mhz.is_none() {
            let base = cpuid.get_processor_frequency_info().map(|f| f.processor_base_frequency());
            self.base_mhz = base.map(u32::from).filter(|&mhz| mhz > 0);
        }
        if self.hypervisor.as_deref().is_none_or(|name| name == "unknown")
            && let Some(hypervisor) = cpuid.get_hypervisor_info()
        {
            self.hypervisor = Some(match hypervisor.identify() {
                raw_cpuid::Hypervisor::Unknown(..) => "unknown".to_owned(),
                known => format!("{known:?}"),
            });
        }
    }

    /// A short name for folders and tables: `epyc-zen4`, `ryzen-9-7950x`; lower case letters, digits and dashes.
    pub fn id(&self) -> String {
        microarchitecture::slug(self.model_name.as_deref(), self.microarchitecture.as_deref())
    }

    /// Sixteen hexadecimal digits that two machines share when their hardware is of one class.
    ///
    /// Frequencies are left out, for they change with the governor and with what a hypervisor lets through, and memory
    /// is rounded up, for kernels keep differing amounts of it to themselves.
    pub fn hardware_class_hash(&self) -> String {
        let mut hash = Fnv::default();
        (&self.vendor, &self.model_name, self.family, self.model, self.stepping).hash(&mut hash);
        (&self.microcode, &self.hypervisor, self.numa_nodes).hash(&mut hash);
        (self.sockets, self.physical_cores, self.logical_cpus).hash(&mut hash);
        (&self.caches, &self.instruction_sets).hash(&mut hash);
        self.memory.map(installed).hash(&mut hash);
        format!("{:016x}", hash.finish())
    }
}

/// The CPUs that are online, by number.
pub(super) fn online(root: &Root) -> Vec<usize> {
    root.list(&format!("{CPUS}/online"))
}

/// One CPU of each core, by number: what to run on where cores have several threads.
pub(super) fn one_cpu_per_core(root: &Root) -> Vec<usize> {
    let first = |cpu: &usize| {
        let siblings = root.list(&format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list"));
        siblings.first().is_none_or(|first| first == cpu)
    };
    online(root).into_iter().filter(first).collect()
}

/// Memory rounded up to a sixteenth of the power of two below it: what is likely to be installed.
fn installed(memory: Bytes) -> u64 {
    let step = (1u64 << (63 - memory.0.max(16).leading_zeros())) / 16;
    memory.0.div_ceil(step).saturating_mul(step)
}

/// A number in decimal or with `0x` before it.
fn number(text: String) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// From the frequency driver, the firmware's table, or a virtual machine's time stamp counter, to the next 50 MHz.
fn base_mhz(root: &Root, cpu_mhz: Option<String>, flags: &BTreeSet<&str>) -> Option<u32> {
    let khz = root.number(&format!("{CPUS}/cpu0/cpufreq/base_frequency"));
    let driver = khz.map(|khz| khz / 1000);
    let firmware = || root.number(&format!("{CPUS}/cpu0/acpi_cppc/nominal_freq"));
    // Without frequency control, a guest's "cpu MHz" is the rate of the counter, which is the base frequency.
    let counter = || {
        let guest = flags.contains("hypervisor") && !root.has(&format!("{CPUS}/cpu0/cpufreq"));
        let mhz: f64 = cpu_mhz.filter(|_| guest && flags.contains("constant_tsc"))?.parse().ok()?;
        Some((mhz / 50.0).round() as u64 * 50)
    };
    u32::try_from(driver.or_else(firmware).or_else(counter)?).ok().filter(|&mhz| mhz > 0)
}

fn caches(root: &Root) -> Vec<CacheLevel> {
    // (level, letter, size) → the sets of CPUs that share an instance
    let mut found = std::collections::BTreeMap::<(u64, &str, u64), BTreeSet<Vec<usize>>>::new();
    for cpu in online(root) {
        let folder = format!("{CPUS}/cpu{cpu}/cache");
        for index in root.names(&folder).iter().filter(|n| n.starts_with("index")) {
            let file = |name: &str| format!("{folder}/{index}/{name}");
            let level = root.number(&file("level"));
            let size = root.text(&file("size")).and_then(|text| size(&text));
            let letter = match root.text(&file("type")).as_deref() {
                Some("Data") => "d",
                Some("Instruction") => "i",
                _ => "",
            };
            if let (Some(level), Some(size)) = (level, size) {
                let mut sharing = root.list(&file("shared_cpu_list"));
                if sharing.is_empty() {
                    sharing = vec![cpu];
                }
                found.entry((level, letter, size)).or_default().insert(sharing);
            }
        }
    }
    let level = |((level, letter, size), instances): (_, BTreeSet<Vec<usize>>)| CacheLevel {
        name: format!("L{level}{letter}"),
        size: Bytes(size),
        instances: instances.len(),
        shared_by: instances.iter().map(Vec::len).max().unwrap_or(1),
    };
    found.into_iter().map(level).collect()
}

/// `1024K`, `32M`: in bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
}

/// From the firmware's tables or the hypervisor's own files; CPUID knows better on the running system. `guest` is what an
/// x86 processor says about itself; an Arm one says nothing.
fn hypervisor(root: &Root, guest: bool, arm: bool) -> Option<String> {
    if let Some(kind) = root.text("sys/hypervisor/type") {
        return Some(kind);
    }
    let vendor = root.text("sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let product = root.text("sys/class/dmi/id/product_name").unwrap_or_default();
    let known = [
        ("KVM", "KVM"),
        ("QEMU", "KVM"),
        ("Amazon EC2", "KVM"),
        ("Google Compute Engine", "KVM"),
        ("VMware", "VMware"),
        ("VirtualBox", "VirtualBox"),
        ("Virtual Machine", "HyperV"),
        ("Xen", "Xen"),
        ("Parallels", "Parallels"),
    ];
    let named = known.iter().find(|(mark, _)| vendor.contains(mark) || product.contains(mark));
    // Bare metal of a cloud carries the vendor's name as well.
    let guest = guest || (arm && named.is_some() && !product.contains("metal"));
    guest.then(|| named.map_or("unknown", |(_, name)| name).to_owned())
}

/// The maker's and the product's name; firmware that was never filled in says nothing.
fn product(root: &Root) -> Option<String> {
    let tell = |name: &str| {
        let text = root.text(&format!("sys/class/dmi/id/{name}"))?;
        let blank =
            ["To Be Filled", "System manufacturer", "System Product Name", "Default string"];
        (!blank.iter().any(|b| text.starts_with(b))).then_some(text)
    };
    match (tell("sys_vendor"), tell("product_name")) {
        (Some(vendor), Some(product)) => Some(format!("{vendor} {product}")),
        (vendor, product) => vendor.or(product),
    }
}

/// FNV-1a with 64 bits: stable between builds, as the standard library's hasher is not.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

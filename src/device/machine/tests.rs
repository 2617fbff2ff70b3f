//! The fingerprint and the conditions of recorded machines (`tests/fixtures/machines`).

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::units::Bytes;

/// A recorded machine, unpacked.
struct Recorded {
    folder: tempfile::TempDir,
}

impl Recorded {
    fn unpack(name: &str) -> Self {
        let path = format!("{}/tests/fixtures/machines/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let recorded = Recorded { folder: tempfile::tempdir().unwrap() };
        for part in text.split("==> ").skip(1) {
            let (path, content) = part.split_once(" <==\n").unwrap();
            recorded.write(path, content);
        }
        recorded
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn root(&self) -> Root {
        Root(self.folder.path().to_owned())
    }

    fn machine(&self) -> Machine {
        Machine::detect(&DetectOptions { identify: false, root: self.root() })
    }

    fn conditions(&self) -> Vec<Condition> {
        conditions(&self.machine(), &Readings::take(&self.root(), Duration::ZERO))
    }
}

fn named<'a>(conditions: &'a [Condition], name: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.name == name)
}

#[test]
fn a_laptop_is_read_off_its_files() {
    let machine = Recorded::unpack("laptop").machine();
    let hardware = &machine.hardware;
    assert_eq!(hardware.id(), "core-i5-7200u");
    assert_eq!(hardware.microarchitecture.as_deref(), Some("Kaby Lake"));
    assert_eq!((hardware.sockets, hardware.physical_cores), (Some(1), Some(2)));
    assert_eq!((hardware.logical_cpus, hardware.threads_per_core), (Some(4), Some(2)));
    assert_eq!((hardware.base_mhz, hardware.max_mhz), (Some(2700), Some(3100)));
    assert_eq!(hardware.memory, Some(Bytes(8_010_528 * 1024)));
    assert_eq!(hardware.hypervisor, None);
    assert_eq!(hardware.product.as_deref(), Some("LENOVO 20HRCTO1WW"));
    let sets = ["sse4_2", "avx", "f16c", "fma", "avx2", "bmi2"];
    assert_eq!(hardware.instruction_sets, sets);
    let caches: Vec<_> = hardware
        .caches
        .iter()
        .map(|c| (c.name.as_str(), c.size.0 >> 10, c.instances, c.shared_by))
        .collect();
    assert_eq!(
        caches,
        [("L1d", 32, 2, 2), ("L1i", 32, 2, 2), ("L2", 256, 2, 2), ("L3", 3072, 1, 4)]
    );
    let software = &machine.software;
    assert_eq!(software.os.as_deref(), Some("Ubuntu 24.04.1 LTS"));
    assert_eq!(software.kernel.as_deref(), Some("6.8.0-48-generic"));
    assert_eq!(software.governor.as_deref(), Some("powersave"));
    assert_eq!(software.boost, Some(true));
    assert_eq!(software.hugepages.as_deref(), Some("madvise"));
    assert_eq!(software.container, None);
    assert!(software.rustc.as_deref().is_some_and(|v| v.starts_with("rustc ")));
}

#[test]
fn a_virtual_machine_is_read_off_its_files() {
    let machine = Recorded::unpack("vm").machine();
    let hardware = &machine.hardware;
    assert_eq!(hardware.id(), "epyc-zen4");
    assert_eq!(hardware.hypervisor.as_deref(), Some("KVM"));
    assert_eq!((hardware.base_mhz, hardware.max_mhz), (Some(2600), None));
    assert_eq!((hardware.physical_cores, hardware.threads_per_core), (Some(2), Some(1)));
    assert_eq!(hardware.caches[3].size, Bytes(32 << 20));
    assert_eq!((hardware.caches[3].instances, hardware.caches[3].shared_by), (1, 2));
    assert_eq!(machine.software.governor, None);
    assert_eq!(machine.software.container.as_deref(), Some("kubernetes"));
}

#[test]
fn an_arm_guest_is_known_by_its_firmware_and_bare_metal_is_none() {
    let vm = Recorded::unpack("vm");
    vm.write(
        "proc/cpuinfo",
        "processor: 0\nFeatures: fp asimd sve bf16\nCPU implementer: 0x41\nCPU part: 0xd40\n",
    );
    vm.write("sys/class/dmi/id/sys_vendor", "Amazon EC2");
    vm.write("sys/class/dmi/id/product_name", "c7g.large");
    let hardware = vm.machine().hardware;
    assert_eq!(hardware.microarchitecture.as_deref(), Some("Neoverse V1"));
    assert_eq!(hardware.instruction_sets, ["asimd", "bf16", "sve"]);
    assert_eq!(
        (hardware.id().as_str(), hardware.hypervisor.as_deref()),
        ("neoversev1", Some("KVM"))
    );
    vm.write("sys/class/dmi/id/product_name", "c7g.metal");
    assert_eq!(vm.machine().hardware.hypervisor, None);
}

#[test]
fn a_laptop_on_battery_is_unfit_and_told_what_to_do() {
    let found = Recorded::unpack("laptop").conditions();
    let severity = |name: &str| named(&found, name).map(|c| c.severity);
    assert_eq!(severity("battery"), Some(Severity::Unfit));
    assert_eq!(severity("governor"), Some(Severity::Noisy));
    assert_eq!(severity("turbo"), Some(Severity::Noisy));
    assert!(named(&found, "turbo").unwrap().advice.contains("intel_pstate/no_turbo"));
    assert!(named(&found, "smt").unwrap().advice.contains("taskset -c 0-1 "));
    assert!(named(&found, "frequency").unwrap().finding.contains("800 and 2300 MHz"));
    assert_eq!(severity("load"), Some(Severity::Noisy));
    assert_eq!(severity("memory"), Some(Severity::Noisy));
    assert!(named(&found, "swap").unwrap().finding.contains("1.00 GiB"));
    assert_eq!(severity("address layout"), Some(Severity::Info));
    for quiet in ["virtual machine", "steal", "cpu quota", "huge pages", "run queue", "numa"] {
        assert_eq!(named(&found, quiet), None);
    }
    let grave: Vec<Severity> = found.iter().map(|c| c.severity).collect();
    assert!(grave.windows(2).all(|pair| pair[0] >= pair[1]), "the gravest come first");
    assert!(found.iter().all(|c| !c.finding.is_empty() && !c.advice.is_empty()));
}

#[test]
fn a_container_with_a_quota_in_a_virtual_machine_is_unfit() {
    let found = Recorded::unpack("vm").conditions();
    let quota = named(&found, "cpu quota").unwrap();
    assert_eq!(quota.severity, Severity::Unfit);
    assert!(quota.finding.contains("1.5 of 2 CPUs"), "{}", quota.finding);
    assert!(named(&found, "steal").unwrap().finding.contains("2.23 % since boot"));
    assert_eq!(named(&found, "virtual machine").unwrap().severity, Severity::Noisy);
    assert_eq!(named(&found, "huge pages").unwrap().severity, Severity::Noisy);
    for quiet in ["governor", "turbo", "smt", "battery", "swap", "memory", "load", "address layout"]
    {
        assert_eq!(named(&found, quiet), None);
    }
    if cfg!(target_os = "linux") {
        assert!(named(&found, "run queue").is_some());
    }
}

#[test]
fn steal_within_the_window_decides_whether_the_machine_is_unfit() {
    let machine = Recorded::unpack("vm").machine();
    let severity = |steal| {
        let readings = Readings { steal: Some(steal), ..Readings::default() };
        named(&conditions(&machine, &readings), "steal").map(|c| c.severity)
    };
    assert_eq!(severity(0.0), None);
    assert_eq!(severity(0.01), Some(Severity::Noisy));
    assert_eq!(severity(0.2), Some(Severity::Unfit));
}

#[test]
fn counters_are_explained_by_what_closes_them() {
    let advice = |name: &str, paranoid| {
        let readings = Readings {
            counters: Some(false),
            perf_event_paranoid: Some(paranoid),
            ..Readings::default()
        };
        let machine = Recorded::unpack(name).machine();
        named(&conditions(&machine, &readings), "counters").unwrap().advice.clone()
    };
    assert!(advice("laptop", 4).contains("sysctl"));
    assert!(advice("laptop", 2).contains("seccomp"));
    assert!(advice("vm", 2).contains("bare metal"));
}

#[test]
fn quotas_of_the_first_version_of_control_groups_are_read() {
    let laptop = Recorded::unpack("laptop");
    laptop.write("proc/self/cgroup", "4:memory:/a\n1:cpu,cpuacct:/docker/x\n0::/\n");
    laptop.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    laptop.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    let quota = || Readings::take(&laptop.root(), Duration::ZERO).cpu_quota;
    assert_eq!(quota(), None);
    laptop.write("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "50000\n");
    laptop.write("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
    assert_eq!(quota(), Some(0.5));
}

#[test]
fn a_machine_that_tells_nothing_or_nonsense_is_still_a_machine() {
    let empty = tempfile::tempdir().unwrap();
    let root = Root(empty.path().to_owned());
    let nothing = Machine::detect(&DetectOptions { identify: false, root: root.clone() });
    assert_eq!(nothing.hardware.logical_cpus, None);
    assert!(nothing.hardware.id().ends_with("-cpu"));
    conditions(&nothing, &Readings::take(&root, Duration::ZERO));

    for name in ["laptop", "vm"] {
        for junk in
            ["", "\0\u{7f}é: ::", "-1", "999999999999999999999", "[", "0-99999999999", "cpu 1"]
        {
            let recorded = Recorded::unpack(name);
            let text = format!("tests/fixtures/machines/{name}.txt");
            let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(text);
            let text = std::fs::read_to_string(text).unwrap();
            for part in text.split("==> ").skip(1) {
                // The list of CPUs leads to all else: it stays in half of the rounds.
                let path = part.split_once(" <==").unwrap().0;
                if !path.ends_with("cpu/online") || junk.len() > 4 {
                    recorded.write(path, junk);
                }
            }
            recorded.conditions();
        }
    }
}

#[test]
fn differences_name_fields_and_hardware_comes_first() {
    let laptop = Recorded::unpack("laptop");
    let before = laptop.machine();
    let mut after = laptop.machine();
    after.started = "2030-01-01T00:00:00Z".into();
    after.software.command = Some("other".into());
    assert_eq!(before.differences(&after), Vec::<String>::new());
    after.software.governor = Some("performance".into());
    after.software.libraries.insert("openblas".into(), "0.3.34".into());
    after.hardware.microcode = None;
    assert_eq!(
        before.differences(&after),
        [
            r#"hardware.microcode: "0xf4" against unknown"#,
            r#"software.governor: "powersave" against "performance""#,
            r#"software.libraries.openblas: unknown against "0.3.34""#,
        ]
    );
}

#[test]
fn the_hardware_class_ignores_software_and_small_changes_of_memory() {
    let laptop = Recorded::unpack("laptop").machine().hardware;
    let vm = Recorded::unpack("vm").machine().hardware;
    let hash = laptop.hardware_class_hash();
    assert_eq!(hash.len(), 16);
    assert_ne!(hash, vm.hardware_class_hash());
    let mut same = laptop.clone();
    same.memory = same.memory.map(|m| Bytes(m.0 - (100 << 10)));
    same.max_mhz = Some(2700);
    assert_eq!(hash, same.hardware_class_hash());
    let mut more = laptop.clone();
    more.memory = more.memory.map(|m| m * 2);
    assert_ne!(hash, more.hardware_class_hash());
    let mut patched = laptop;
    patched.microcode = Some("0xf8".into());
    assert_ne!(hash, patched.hardware_class_hash());
}

#[test]
fn machine_json_is_read_back_and_newer_or_broken_ones_are_refused() {
    let machine = Recorded::unpack("vm").machine();
    let text = machine.to_json();
    let path = Path::new("machine.json");
    assert_eq!(Machine::from_json(&text, path).unwrap(), machine);
    assert!(!text.contains("identity"));

    let error = |text: &str| Machine::from_json(text, path).unwrap_err().to_string();
    let newer = error(&text.replace("\"schema\": 1", "\"schema\": 2"));
    assert!(newer.contains("has schema 2") && newer.contains("newer scalemark"), "{newer}");
    assert!(error(&text[..text.len() / 2]).starts_with("machine.json:"));
    assert!(error("{}").contains("schema"));
    assert!(error("").contains("no fingerprint"));
}

#[test]
fn identity_is_kept_only_when_asked_for() {
    let root = Recorded::unpack("vm");
    let asked = Machine::detect(&DetectOptions { identify: true, root: root.root() });
    let identity = asked.identity.expect("it was asked for");
    assert!(identity.folder.is_some());
    let command = root.machine().software.command.unwrap();
    assert!(!command.contains("/target/"), "{command}");
}

#[test]
fn this_machine_can_be_looked_at() {
    let machine = Machine::detect(&DetectOptions::default());
    assert!(machine.hardware.logical_cpus.is_some_and(|n| n > 0));
    assert!(machine.hardware.memory.is_some_and(|m| m.0 > 0));
    assert_eq!(machine.started.len(), "2026-01-01T00:00:00Z".len());
    let readings = Readings::take(&Root::default(), Duration::from_millis(1));
    conditions(&machine, &readings);
}

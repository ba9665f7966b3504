//! `caisson system info`.

use caisson_node::paths::Identity;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::host::{self, Cgroups};
use crate::output::{self, ObjectFormat, sizes};

/// Show what is installed, where state is kept, and what the machine offers
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// `json`, or text as if not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<ObjectFormat>,
}

#[derive(Serialize)]
struct Facts {
    version: &'static str,
    root: String,
    run_root: String,
    rootless: bool,
    images: usize,
    image_bytes: u64,
    quota: Option<u64>,
    kernel: String,
    operating_system: String,
    architecture: &'static str,
    cpus: usize,
    memory: u64,
    cgroups: &'static str,
    controllers: Vec<String>,
    seccomp: bool,
    security_modules: Vec<String>,
}

impl Info {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let facts = Facts::collect(context)?;
        match self.format {
            Some(ObjectFormat::Json) => output::json(&facts),
            None => output::text(&facts.text()),
        }
    }
}

impl Facts {
    fn collect(context: &Context) -> Result<Self, Failure> {
        let usage = context.store()?.usage()?;
        let cgroups = Cgroups::here();
        let total = rustix::system::sysinfo();
        let modules = host::read("/sys/kernel/security/lsm").unwrap_or_default();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            root: context.paths.root().display().to_string(),
            run_root: context.paths.run().display().to_string(),
            rootless: context.identity != Identity::System,
            images: usage.images,
            image_bytes: usage.total(),
            quota: context.settings.storage.quota,
            kernel: host::kernel_release(),
            operating_system: operating_system(),
            architecture: std::env::consts::ARCH,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: total.totalram.saturating_mul(u64::from(total.mem_unit)),
            cgroups: cgroups.name(),
            controllers: host::controllers(cgroups),
            seccomp: host::read("/proc/sys/kernel/seccomp/actions_avail").is_some(),
            security_modules: modules
                .split(',')
                .filter(|m| !m.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    fn text(&self) -> String {
        let list = |words: &[String]| {
            if words.is_empty() { "none known".to_owned() } else { words.join(" ") }
        };
        let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        let quota =
            self.quota.map_or(String::new(), |quota| format!(", quota {}", sizes::human(quota)));
        let lines = [
            ("Version", self.version.to_owned()),
            ("State", self.root.clone()),
            ("Run state", self.run_root.clone()),
            ("Rootless", yes_no(self.rootless)),
            ("Images", format!("{} ({}{quota})", self.images, sizes::human(self.image_bytes))),
            ("Kernel", self.kernel.clone()),
            ("System", self.operating_system.clone()),
            ("Architecture", self.architecture.to_owned()),
            ("CPUs", self.cpus.to_string()),
            ("Memory", sizes::human(self.memory)),
            ("Cgroups", self.cgroups.to_owned()),
            ("Controllers", list(&self.controllers)),
            ("Seccomp", yes_no(self.seccomp)),
            ("Security", list(&self.security_modules)),
        ];
        lines.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect()
    }
}

/// PRETTY_NAME of os-release(5).
fn operating_system() -> String {
    let text = host::read("/etc/os-release").or_else(|| host::read("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

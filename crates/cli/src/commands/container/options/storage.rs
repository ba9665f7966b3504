//! Mounts and volumes.

use caisson_node::request::{ContainerRequest, parse_mount, parse_size, parse_tmpfs, parse_volume};

use crate::failure::Failure;

/// Options about files.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Files")]
pub(super) struct StorageOptions {
    /// Mount a path of the host or a named volume
    #[arg(short, long, value_name = "[SOURCE:]PATH[:OPTIONS]")]
    volume: Vec<String>,
    /// Mount: type=bind|volume|tmpfs,source=…,target=…[,readonly…]
    #[arg(long, value_name = "FIELDS")]
    mount: Vec<String>,
    /// Mount memory
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Take over another container's volumes
    #[arg(long, value_name = "CONTAINER[:ro]")]
    volumes_from: Vec<String>,
    /// Its root file system can't be written
    #[arg(long)]
    read_only: bool,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    shm_size: Option<u64>,
}

impl StorageOptions {
    pub(super) fn apply(&self, request: &mut ContainerRequest) -> Result<(), Failure> {
        let current = std::env::current_dir()?;
        for text in &self.volume {
            request.mounts.push(parse_volume(text, &current).map_err(Failure::of_engine)?);
        }
        for text in &self.mount {
            request.mounts.push(parse_mount(text, &current).map_err(Failure::of_engine)?);
        }
        for text in &self.tmpfs {
            request.mounts.push(parse_tmpfs(text).map_err(Failure::of_engine)?);
        }
        request.volumes_from.clone_from(&self.volumes_from);
        request.read_only = self.read_only;
        request.shm_size = self.shm_size;
        Ok(())
    }
}

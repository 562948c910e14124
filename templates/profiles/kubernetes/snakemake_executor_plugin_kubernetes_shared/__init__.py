"""Snakemake's executor for Kubernetes, for run folders on a volume that every pod mounts.

The published plugin says of itself that pods share no files with the machine that submits them, and
Snakemake then wants to send every file through a storage provider, whatever --shared-fs-usage says.
Locks and records of a run folder need one file system, so this says that there is one. All else is
the published plugin's. `cotdistill run` finds this executor where that plugin is installed.
"""

from dataclasses import replace

import snakemake_executor_plugin_kubernetes as published
from snakemake_executor_plugin_kubernetes import Executor, ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = replace(
    published.common_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)

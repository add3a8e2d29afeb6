variable "name" {
  type        = string
  description = "Name of the service, and of what belongs to it."
  default     = "cognito-auth-exporter"
}

variable "cluster_arn" {
  type        = string
  description = "Cluster that runs the task on Fargate."
}

variable "task_role_arn" {
  type        = string
  description = "Role that reads the auth events: role_arn of the module above, with trust = { ecs = {} }."
}

variable "image" {
  type        = string
  description = "Image of the exporter with its tag or digest."

  validation {
    condition     = can(regex("(:[\\w.-]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "Name a version, as ghcr.io/cognito-auth-exporter/cognito-auth-exporter:0.1.0, or a digest."
  }
}

variable "configuration" {
  type        = string
  description = "The configuration file, as YAML. Its state.path is a file below /data. It goes to a SecureString of the SSM Parameter Store, which takes 8 KiB."

  validation {
    condition     = try(startswith(yamldecode(var.configuration).state.path, "/data/"), false)
    error_message = "state.path has to be a file below /data: all else of the container cannot be written."
  }

  validation {
    condition     = length(base64encode(var.configuration)) <= 10924 # of 8192 bytes
    error_message = "A parameter holds 8 KiB. Select users by groups or filters instead of naming them."
  }
}

variable "vpc_id" {
  type        = string
  description = "Network of the task and its file system."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets of the task and of the file system's mount targets, each in another Availability Zone; from there the image and AWS's endpoints are reached."

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "Name one subnet at least."
  }
}

variable "assign_public_ip" {
  type        = bool
  description = "Whether the task has a public address: needed in subnets without NAT or endpoints."
  default     = false
}

variable "scraper_security_group_ids" {
  type        = list(string)
  description = "Security groups that may scrape the exporter: that of Prometheus."
  default     = []
}

variable "namespace_id" {
  type        = string
  description = "Private DNS namespace of Cloud Map in which the exporter has its name, for dns_sd_configs; null for none."
  default     = null
}

variable "cpu_architecture" {
  type        = string
  description = "What the task runs on: X86_64 or ARM64."
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "There are X86_64 and ARM64."
  }
}

variable "cpu" {
  type        = number
  description = "CPU units of the task: 1024 are one core."
  default     = 256
}

variable "memory" {
  type        = number
  description = "Memory of the task in MiB."
  default     = 512
}

variable "log_retention_days" {
  type        = number
  description = "How long CloudWatch keeps the exporter's log."
  default     = 30
}

variable "permissions_boundary_arn" {
  type        = string
  description = "Permissions boundary of the execution role; null for none."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags of everything that can have them."
  default     = {}
}

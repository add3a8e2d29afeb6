variable "name" {
  type        = string
  description = "Name of the role, and of what belongs to it."
  default     = "cognito-auth-exporter"

  validation {
    condition     = can(regex("^[\\w+=,.@-]{1,64}$", var.name))
    error_message = "A role's name has 1 to 64 letters, digits and characters of +=,.@_-."
  }
}

variable "trust" {
  type = object({
    ec2 = optional(object({}))
    ecs = optional(object({}))
    irsa = optional(object({
      oidc_provider   = string
      namespace       = optional(string, "monitoring")
      service_account = optional(string, "cognito-auth-exporter")
    }))
    pod_identity = optional(object({
      cluster_name    = string
      namespace       = optional(string, "monitoring")
      service_account = optional(string, "cognito-auth-exporter")
    }))
    other_account = optional(object({
      principal_arn = string
      external_id   = string
    }))
  })
  description = <<-EOT
    Who may take on the role; exactly one of: `ec2`, an instance; `ecs`, a task of this account and Region; `irsa`, a service account of EKS by the
    cluster's OIDC provider (`oidc_provider` without https://); `pod_identity`, the same by EKS Pod Identity; `other_account`, a role of another account,
    which has to name the external id.
  EOT

  validation {
    condition     = length([for kind, how in var.trust : kind if how != null]) == 1
    error_message = "Give exactly one of ec2, ecs, irsa, pod_identity, other_account."
  }

  validation {
    condition     = var.trust.irsa == null ? true : !startswith(var.trust.irsa.oidc_provider, "https://")
    error_message = "Give irsa.oidc_provider without https://, as oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE."
  }
}

variable "user_pool_arns" {
  type        = list(string)
  description = "User pools of this account whose auth events are read."
  default     = []

  validation {
    condition = alltrue([
      for arn in var.user_pool_arns : can(regex("^arn:[\\w-]+:cognito-idp:[\\w-]+:\\d{12}:userpool/[\\w-]+_[0-9a-zA-Z]+$", arn))
    ])
    error_message = "A user pool's ARN looks like arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_Ab129faBb."
  }
}

variable "also_allow" {
  type        = set(string)
  description = <<-EOT
    What is allowed beside reading auth events: `groups` for the selector of that name, `listing` for the selectors `filters` and `all`, `description` for
    the label `threat_protection` and the estimate of `check --live`.
  EOT
  default     = []

  validation {
    condition     = length(setsubtract(var.also_allow, ["groups", "listing", "description"])) == 0
    error_message = "There are groups, listing and description."
  }
}

variable "reader_role_arns" {
  type        = list(string)
  description = "Roles, mostly of other accounts, that the exporter may assume: what its configuration names as role_arn."
  default     = []

  validation {
    condition     = alltrue([for arn in var.reader_role_arns : can(regex("^arn:[\\w-]+:iam::\\d{12}:role/[\\w+=,.@/-]+$", arn))])
    error_message = "A role's ARN looks like arn:aws:iam::111122223333:role/auth-events-reader."
  }
}

variable "permissions_boundary_arn" {
  type        = string
  description = "Permissions boundary of the role; null for none."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags of everything that can have them."
  default     = {}
}

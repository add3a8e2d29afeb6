data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  trusted = one([for kind, how in var.trust : kind if how != null])

  here = {
    account   = data.aws_caller_identity.this.account_id
    partition = data.aws_partition.this.partition
    region    = data.aws_region.this.id
  }

  # Which action belongs to what is said once, in deploy/aws/iam.
  readable = length(var.user_pool_arns) == 0 ? [] : concat(["auth-events"], sort(var.also_allow))
  reading = flatten([
    for name in local.readable : [
      for statement in jsondecode(file("${path.module}/../iam/${name}.json")).Statement : merge(statement, { Resource = var.user_pool_arns })
    ]
  ])
  assuming = [
    for statement in jsondecode(file("${path.module}/../iam/assume-readers.json")).Statement : merge(statement, { Resource = var.reader_role_arns })
    if length(var.reader_role_arns) > 0
  ]
  statements = concat(local.reading, local.assuming)
}

resource "aws_iam_role" "exporter" {
  name                 = var.name
  description          = "Reads auth events for Prometheus"
  assume_role_policy   = templatefile("${path.module}/trust/${local.trusted}.json.tftpl", merge(local.here, var.trust[local.trusted]))
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

resource "aws_iam_role_policy" "exporter" {
  name   = "auth-events"
  role   = aws_iam_role.exporter.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })

  lifecycle {
    precondition {
      condition     = length(local.statements) > 0
      error_message = "Give user_pool_arns, reader_role_arns or both: the role would allow nothing."
    }
  }
}

resource "aws_iam_instance_profile" "exporter" {
  count = local.trusted == "ec2" ? 1 : 0

  name = var.name
  role = aws_iam_role.exporter.name
  tags = var.tags
}

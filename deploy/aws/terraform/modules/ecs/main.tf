data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  port = 10078
  user = 65532

  here = {
    account   = data.aws_caller_identity.this.account_id
    partition = data.aws_partition.this.partition
    region    = data.aws_region.this.id
  }
}

resource "aws_cloudwatch_log_group" "exporter" {
  name              = "/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_ssm_parameter" "configuration" {
  name        = "/${var.name}/config.yaml"
  description = "Configuration of the exporter of auth events"
  type        = "SecureString" # it names users
  tier        = "Intelligent-Tiering"
  value       = var.configuration
  tags        = var.tags
}

# -- what starts the task --------------------------------------------------------------------------------------------------------

resource "aws_iam_role" "execution" {
  name                 = "${var.name}-execution"
  description          = "Starts the exporter of auth events"
  assume_role_policy   = templatefile("${path.module}/../../trust/ecs.json.tftpl", local.here)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

# For an image in ECR, from which the policy below does not let it read.
resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${local.here.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "execution" {
  name = "configuration"
  role = aws_iam_role.execution.name
  policy = templatefile("${path.module}/policies/execution.json.tftpl", {
    parameter_arn = aws_ssm_parameter.configuration.arn
    log_group_arn = aws_cloudwatch_log_group.exporter.arn
  })
}

# -- who reaches whom ------------------------------------------------------------------------------------------------------------

resource "aws_security_group" "exporter" {
  name        = var.name
  description = "Exporter of auth events"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_security_group" "state" {
  name        = "${var.name}-state"
  description = "State of the exporter of auth events"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "scrapes" {
  count = length(var.scraper_security_group_ids)

  security_group_id            = aws_security_group.exporter.id
  description                  = "Scrapes"
  referenced_security_group_id = var.scraper_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.exporter.id
  description       = "AWS and the image's registry"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "state" {
  security_group_id            = aws_security_group.exporter.id
  description                  = "State"
  referenced_security_group_id = aws_security_group.state.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "state" {
  security_group_id            = aws_security_group.state.id
  description                  = "The exporter"
  referenced_security_group_id = aws_security_group.exporter.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  tags                         = var.tags
}

# -- the state -------------------------------------------------------------------------------------------------------------------

resource "aws_efs_file_system" "state" {
  encrypted = true
  tags      = merge({ Name = var.name }, var.tags)
}

resource "aws_efs_mount_target" "state" {
  count = length(var.subnet_ids)

  file_system_id  = aws_efs_file_system.state.id
  subnet_id       = var.subnet_ids[count.index]
  security_groups = [aws_security_group.state.id]
}

resource "aws_efs_access_point" "state" {
  file_system_id = aws_efs_file_system.state.id
  tags           = var.tags

  posix_user {
    uid = local.user
    gid = local.user
  }

  root_directory {
    path = "/state"

    creation_info {
      owner_uid   = local.user
      owner_gid   = local.user
      permissions = "0700"
    }
  }
}

resource "aws_efs_file_system_policy" "state" {
  file_system_id = aws_efs_file_system.state.id
  policy = templatefile("${path.module}/policies/file-system.json.tftpl", {
    task_role_arn    = var.task_role_arn
    file_system_arn  = aws_efs_file_system.state.arn
    access_point_arn = aws_efs_access_point.state.arn
  })
}

# -- the task --------------------------------------------------------------------------------------------------------------------

resource "aws_ecs_task_definition" "exporter" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = aws_iam_role.execution.arn
  tags                     = var.tags

  container_definitions = templatefile("${path.module}/containers.json.tftpl", {
    image         = var.image
    parameter_arn = aws_ssm_parameter.configuration.arn
    # another configuration is another task, which is how a running one comes to have it
    configuration_version = aws_ssm_parameter.configuration.version
    log_group             = aws_cloudwatch_log_group.exporter.name
    region                = local.here.region
  })

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  volume {
    name = "configuration"
  }

  volume {
    name = "state"

    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.state.id
      transit_encryption = "ENABLED"

      authorization_config {
        access_point_id = aws_efs_access_point.state.id
        iam             = "ENABLED"
      }
    }
  }
}

resource "aws_service_discovery_service" "exporter" {
  count = var.namespace_id == null ? 0 : 1

  name = var.name
  tags = var.tags

  dns_config {
    namespace_id   = var.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 15
    }
  }
}

# Never two at once: they would spend the quota twice, and the second could not open the state. So the old task goes before the new one comes, and no
# zone is balanced, which would be the other way round.
resource "aws_ecs_service" "exporter" {
  name                               = var.name
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.exporter.arn
  launch_type                        = "FARGATE"
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  availability_zone_rebalancing      = "DISABLED"
  propagate_tags                     = "SERVICE"
  tags                               = var.tags

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.exporter.id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.exporter[*].arn

    content {
      registry_arn = service_registries.value
    }
  }

  depends_on = [aws_efs_mount_target.state, aws_efs_file_system_policy.state, aws_iam_role_policy.execution, aws_iam_role_policy_attachment.execution]
}

# A service of ECS on Fargate, its state on EFS. Read "State on ECS" in docs/aws.md first.

provider "aws" {
  region = "eu-west-1"
}

module "role" {
  source = "../.."

  trust          = { ecs = {} }
  user_pool_arns = ["arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_Ab129faBb"]
  also_allow     = ["groups", "description"]
}

module "service" {
  source = "../../modules/ecs"

  cluster_arn                = "arn:aws:ecs:eu-west-1:111122223333:cluster/monitoring"
  task_role_arn              = module.role.role_arn
  image                      = "ghcr.io/cognito-auth-exporter/cognito-auth-exporter:0.1.0"
  configuration              = file("${path.module}/config.yaml")
  vpc_id                     = "vpc-0123456789abcdef0"
  subnet_ids                 = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  scraper_security_group_ids = ["sg-0123456789abcdef0"]
  namespace_id               = "ns-0123456789abcdef"
}

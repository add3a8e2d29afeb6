# Two accounts: the exporter runs in 444455556666 and reads a pool of 111122223333.

variable "external_id" {
  type        = string
  description = "What both sides have agreed upon; the configuration's credentials.external_id."
}

provider "aws" {
  region              = "eu-west-1"
  allowed_account_ids = ["444455556666"]
}

provider "aws" {
  alias               = "customers"
  region              = "eu-west-1"
  profile             = "customers"
  allowed_account_ids = ["111122223333"]
}

module "exporter" {
  source = "../.."

  trust            = { ec2 = {} }
  reader_role_arns = ["arn:aws:iam::111122223333:role/auth-events-reader"]
}

module "reader" {
  source = "../.."

  providers = { aws = aws.customers }

  name           = "auth-events-reader"
  trust          = { other_account = { principal_arn = module.exporter.role_arn, external_id = var.external_id } }
  user_pool_arns = ["arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_Ab129faBb"]
  also_allow     = ["groups"]
}

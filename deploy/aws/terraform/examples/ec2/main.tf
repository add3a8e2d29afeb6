# An EC2 instance that runs the exporter under systemd: give it the instance profile.

provider "aws" {
  region = "eu-west-1"
}

module "role" {
  source = "../.."

  trust          = { ec2 = {} }
  user_pool_arns = ["arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_Ab129faBb"]
  also_allow     = ["groups", "description"]
}

output "instance_profile_name" {
  description = "For iam_instance_profile of the instance."
  value       = module.role.instance_profile_name
}

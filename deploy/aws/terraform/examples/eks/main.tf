# EKS Pod Identity. With IRSA it is `irsa` in `trust`, no association, and the annotation eks.amazonaws.com/role-arn of the service account.

provider "aws" {
  region = "eu-west-1"
}

module "role" {
  source = "../.."

  trust          = { pod_identity = { cluster_name = "production" } }
  user_pool_arns = ["arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_Ab129faBb"]
  also_allow     = ["listing", "description"]
}

resource "aws_eks_pod_identity_association" "exporter" {
  cluster_name    = "production"
  namespace       = "monitoring"
  service_account = "cognito-auth-exporter"
  role_arn        = module.role.role_arn
}
